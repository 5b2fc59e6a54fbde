"""What a hospital needs to join a run."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pipelines.sources.csv_table import AS_DECLARED, CsvDialect
from protocol.identity.roster import Member, Roster
from protocol.study.study import Study
from protocol.vectors.tensors import Tensors
from silos.config.patient_statement import NOTHING_STATED, PatientStatement
from silos.rounds.rollback_evidence import SignedLedgerHeads


@dataclass(frozen=True, kw_only=True)
class Invitation:
    """A run to join, as given to the hospital by its own people.

    ``data`` is the folder in which a simulation finds the records, ``source`` the
    hospital's own records where its site file names them, ``dialect`` how they are
    written; a ``fixed_noise_seed`` is for tests of a simulation only, and so is the
    ``split_key`` that stands for the hospital's own, for a simulation may draw a split
    again. ``own_words`` are what the consortium has kept of this hospital's earlier
    signed words.
    ``stated`` is what the hospital states about its patients.
    ``require_machines`` checks the evidence of the members that it is given, where
    the hospital's policy asks for any. ``keep_model`` is given the run's final model.
    """

    run_id: str
    study: Study
    roster: Roster
    coordinator_public: bytes
    data: Path | None
    index_file: bytes | None
    source: Path | None = None
    dialect: CsvDialect = AS_DECLARED
    fixed_noise_seed: int | None = None
    split_key: bytes | None = None
    own_words: SignedLedgerHeads = SignedLedgerHeads()
    stated: PatientStatement = NOTHING_STATED
    require_machines: Callable[[Iterable[Member]], None] | None = None
    keep_model: Callable[[Tensors], None] | None = None
