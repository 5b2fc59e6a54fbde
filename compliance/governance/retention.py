"""Retention at the coordinator: classes of records, how long each is kept, and legal holds.

Rules:

1. Log, rows and models are never deleted by this software: they are digests, signed statements and
   noised figures, and evidence (45 CFR 164.316(b)(2) asks for six years of it).
2. What can be deleted is what rounds can be computed again from, and what runs at work need.
3. A legal hold, placed by one person with a reason and lifted by two, keeps all of a run's or a
   study's kept rounds from then on. It brings nothing back that is gone already.

A hospital's own retention is the hospital's (``silos.patients.retention``): no hold of the
coordinator's reaches into a hospital.
"""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RecordClass:
    """A class of records: where it lies, how long it is kept, what ends it, what a hold changes."""

    name: str
    place: str
    kept: str
    ends: str
    held: str


#: Every class of records in a coordinator's folder.
RECORD_CLASSES = (
    RecordClass(
        name="audit log: entries and signed heads",
        place="collegium.db",
        kept="for ever",
        ends="nothing: triggers refuse it",
        held="nothing",
    ),
    RecordClass(
        name="rows: studies, runs, rounds, releases, members, people, acts, incidents, alerts",
        place="collegium.db",
        kept="for ever",
        ends="nothing: a missing row does not verify",
        held="nothing",
    ),
    RecordClass(
        name="released models",
        place="snapshots/",
        kept="for ever",
        ends="nothing: a missing model does not verify",
        held="nothing",
    ),
    RecordClass(
        name="encrypted models: headers, payloads, records of openings",
        place="weights/",
        kept="for ever; the header until the model is retired",
        ends="weights.retire, by two people, removes the header",
        held="nothing: the model itself stays in snapshots/",
    ),
    RecordClass(
        name="masked vectors and transcripts of rounds",
        place="rounds/",
        kept="the newest aggregation.keep_rounds rounds of each run",
        ends="the next round, in the run itself",
        held="no finished round is deleted",
    ),
    RecordClass(
        name="states of runs at work",
        place="states/",
        kept="until the run's end, and those that it may go back to",
        ends="the next round, and the run's end",
        held="nothing: they are parts of the run's work",
    ),
    RecordClass(
        name="masked vectors on their way",
        place="blobs/",
        kept="until they are summed",
        ends="the round, and the service's next start",
        held="nothing: they are kept with the round",
    ),
)


@dataclass(frozen=True, kw_only=True)
class Hold:
    """A legal hold of a run or of all runs of a study; ``lifted_at`` is None while it holds."""

    kind: str
    subject: str
    reason: str
    placed_by: str
    placed_at: str
    lifted_at: str | None = None


def is_held(holds: Collection[Hold], run: str, study: str) -> bool:
    """Whether a hold keeps what a run would delete.

    Args:
        holds: every hold, lifted ones too.
        run: the run's name.
        study: the digest of its study.
    """
    about = {("run", run), ("study", study)}
    return any((hold.kind, hold.subject) in about for hold in holds if hold.lifted_at is None)
