"""A released model with its evidence: all that an exported folder is made of."""

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from collegium.verification.proofs import make_proof
from compliance.facts.dossier import Dossier, RedTeamFacts
from coordinator.audit.verification import verify_rows
from coordinator.database.log.entry_proofs import entry_of
from coordinator.database.store import RunRow, Store
from coordinator.database.workspace import Workspace
from coordinator.governance.models.snapshots import SNAPSHOT_SIGNED, signed_snapshot
from coordinator.rounds.ending.gate_facts import study_of_snapshot
from coordinator.views.views import open_views
from protocol.errors import StoreBroken, StudyRefused
from protocol.identity.roster import Roster, parse_roster
from protocol.study.study import Study
from protocol.study.study_file import read_study_file
from protocol.transport.snapshot import SignedSnapshot, Snapshot
from protocol.vectors.tensors import Tensors


@dataclass(frozen=True, kw_only=True)
class ReleasedModel:
    """A signed snapshot, what it was made of, and the facts about its run.

    Attributes:
        signed: the snapshot, whose signatures were verified.
        study: with pretrained parameters and recipes, where it was read from its file.
        roster: of the run.
        model: the parameters.
        dossier: the run.
        red_team: what attacks on the run have found.
        proof: of the log's entry of the snapshot, with the entry.
    """

    signed: SignedSnapshot
    study: Study
    roster: Roster
    model: Tensors
    dossier: Dossier
    red_team: tuple[RedTeamFacts, ...]
    proof: bytes

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot."""
        return self.signed.snapshot

    @property
    def name(self) -> str:
        """The model's name: of the study, with the beginning of the snapshot's digest."""
        return f"{self.study.name}-{self.snapshot.digest[:12]}"


def released_model(out: Path, beginning: str, study_file: Path | None = None) -> ReleasedModel:
    """Returns a released model of a folder of runs.

    Args:
        out: the folder.
        beginning: of the snapshot's digest, its run or its model's digest.
        study_file: the study's file: needed where it starts from pretrained parameters or takes
            code from a recipe, which no run keeps.

    Raises:
        PolicyRefused: there is no such snapshot, or there are several.
        QuorumLost: too few hospitals have signed it.
        MessageRefused: a signature is wrong.
        StoreBroken: the model's file, or the snapshot's entry in the log, is missing or changed, or
            a row that the card is made of is not what was logged.
        StudyRefused: the file is of another study.
    """
    workspace = Workspace.open(out)
    public = workspace.public_key()
    with closing(Store.for_reading(workspace.database)) as store, store.read() as session:
        verify_rows(session, public)
        signed = signed_snapshot(session, beginning)
        snapshot = signed.snapshot
        roster = parse_roster(session.get_one(RunRow, snapshot.run).roster_json.encode())
        study = study_of_snapshot(session, snapshot)
        # The newest entry of the snapshot is of the signatures that it has now.
        entry = entry_of(session, SNAPSHOT_SIGNED, snapshot.digest, newest=True)
    if entry is None:
        raise StoreBroken(
            f"the log holds no entry of snapshot {snapshot.digest[:12]}: restore it from a backup"
        )
    signed.require_signed(public, roster)
    if study_file is not None:
        read = read_study_file(study_file)
        if read.digest != study.digest:
            raise StudyRefused(
                f"{study_file} is not the study of run {snapshot.run}, {study.digest[:16]}"
            )
        study = read
    with closing(open_views(out)) as views:
        facts = views.subject("run", snapshot.run)
        # Not as the run's last entry left it: runs that began since are told as well.
        registration = views.dossier(snapshot.run).registration
    return ReleasedModel(
        signed=signed,
        study=study,
        roster=roster,
        model=workspace.read_snapshot(snapshot.model),
        dossier=replace(facts.dossiers[0], registration=registration),
        red_team=facts.red_team,
        proof=make_proof(out, str(entry)).proof.to_bytes,
    )
