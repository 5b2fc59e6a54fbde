"""Checks a hospital's own folder against itself, without the coordinator.

Rules:

0. The database is as the migrations make it.
1. The ledger's chain is whole, and no older copy by the list outside the database.
2. So are the decisions about studies, each signed with a key of this hospital.
3. The trusted rosters follow each other.
4. Every run here was asked for by a coordinator whose key a trusted roster names.
5. Every run that the ledger books was asked for, of the same study; its roster is
   kept, and what was signed with each release. Every decision about a run is signed,
   and what stands here of runs, of the hospital and of the newest head of the log is
   what they say. By the approvals that the decision to join names, that study's people
   had approved at least so many runs of it, and not withdrawn it. How many people a
   policy asked for is not checked.
6. Every study that was approved is kept as its digest says.
7. What came back of a run is signed by a coordinator of this hospital; a final model
   here is the one that it signed, and the one that this hospital evaluated; and how to
   use it is written as study and model give it.
8. The record of patients is whole, each entry signed with a key of this hospital; every
   frozen cohort's list is the one that was signed, without whom left it too, and every
   run draws from a cohort of its own study.
9. Every encrypted model has its record, signed with a key of this hospital, and the header
   and the payload that the record names.
10. The log of which models were loaded to score is a chain, signed with keys of this hospital.
11. Every kept head of the coordinator's log is signed by the log's key, and none
    contradicts another.

What the coordinator did is not checked here: the signed note of ``silo log`` is
what its records can be held to.
"""

from silos.operations.own_check.check import NOT_CHECKED, NOT_DECIDED, OwnCheck, check_own

#: What commands, reports and tests of a hospital's folder use.
__all__ = ["NOT_CHECKED", "NOT_DECIDED", "OwnCheck", "check_own"]
