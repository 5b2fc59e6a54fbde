"""An invitation to a run: everything that a hospital needs to join it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from protocol.identity.roster import Roster
from protocol.study.study import Study
from protocol.vectors.tensors import Tensors
from silos.config.attestation import AttestationPolicy, MachineCheck
from silos.rounds.openings.rollback_evidence import SignedLedgerHeads


@dataclass(frozen=True, kw_only=True)
class Invitation:
    """A run to join, as given to the hospital by its own people.

    ``data`` is the folder in which a simulation finds the records; a ``fixed_noise_seed``
    is for a simulation only, which then claims no privacy: for tests, and where a study without
    privacy draws its batches. So is the ``split_key`` that stands for the
    hospital's own, for a simulation may draw a split again. ``signed_heads`` are what the
    consortium has kept of this hospital's earlier signed statements. ``machine_check`` returns
    what checks the members' evidence against a policy. ``keep_model`` is given the run's
    final model.
    """

    run_id: str
    study: Study
    roster: Roster
    coordinator_public: bytes
    data: Path | None
    index_file: bytes | None
    fixed_noise_seed: int | None = None
    split_key: bytes | None = None
    signed_heads: SignedLedgerHeads = SignedLedgerHeads()
    machine_check: Callable[[AttestationPolicy], MachineCheck] | None = None
    keep_model: Callable[[Tensors, Tensors | None], None] | None = None
