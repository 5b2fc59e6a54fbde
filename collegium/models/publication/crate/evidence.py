"""The evidence of one run: its facts, documents and proofs, read from a verified folder."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from collegium.models.reproduction import RunSide, recorded_run
from collegium.verification.proofs import make_proof
from compliance.facts.dossier import Dossier, LogVerification, RunManifest, SubjectFacts
from compliance.reports.declarations import declarations_of
from compliance.reports.evidence import ReportSubject
from coordinator.database.workspace import Workspace
from coordinator.governance.models.snapshots import SNAPSHOT_SIGNED
from coordinator.views.views import open_views
from protocol.identity.roster import Roster
from protocol.study.study import Study
from protocol.transport.snapshot import SignedSnapshot

#: The entry of the log that a manifest has, and those that end a run.
MANIFEST = "manifest"
ENDS = ("run-finished", "run-stopped", "run-failed")


@dataclass(frozen=True, kw_only=True)
class CrateEvidence:
    """All that a crate is made of.

    Attributes:
        subject: the run's facts and what the consortium declares, as reports take them.
        study: the run's, as it was registered.
        roster: the run's.
        side: what its rounds came to.
        signed: the snapshot of its model, whose signatures were verified; None of a run without.
        public: the key of the log (32 bytes).
        proofs: C2SP tlog-proofs of the log's entries, by what they prove.
    """

    subject: ReportSubject
    study: Study
    roster: Roster
    side: RunSide
    signed: SignedSnapshot | None
    public: bytes
    proofs: Mapping[str, bytes]

    @property
    def facts(self) -> SubjectFacts:
        """The run, and the log about it."""
        return self.subject.facts

    @property
    def dossier(self) -> Dossier:
        """The run, whole."""
        return self.facts.dossiers[0]

    @property
    def manifest(self) -> RunManifest | None:
        """The manifest of its inputs; None where none was kept."""
        return self.dossier.manifest


@contextmanager
def run_evidence(out: Path, run: str) -> Iterator[CrateEvidence]:
    """Yields the evidence of a run that is over.

    Args:
        out: a simulation's or a coordinator's folder.
        run: the run's name, or its beginning.

    Raises:
        WorkspaceRefused: there is no such run, or it is not over.
        StoreBroken: the records are not what was logged.
        MessageRefused: a signature of its snapshot is wrong.
    """
    public = Workspace.open(out).public_key()
    with recorded_run(out, run) as recorded:
        signed = recorded.signed
        if signed is not None:
            _require_signatures(signed, public, recorded.roster)
        with closing(open_views(out)) as views:
            facts = views.subject("run", recorded.run_id)
        facts = replace(facts, verification=LogVerification(key=public.hex()))
        declared, digest = declarations_of(out, None)
        yield CrateEvidence(
            subject=ReportSubject(facts=facts, declarations=declared, digest=digest),
            study=recorded.study,
            roster=recorded.roster,
            side=recorded.side(),
            signed=signed,
            public=public,
            proofs=dict(_proofs(out, facts, signed)),
        )


def _require_signatures(signed: SignedSnapshot, public: bytes, roster: Roster) -> None:
    """Checks every signature of a snapshot; one that is short of them stays as short as it is."""
    if len(signed.signatures) >= signed.snapshot.quorum:
        signed.require_signed(public, roster)
    else:
        signed.require_of(public)


def _proofs(
    out: Path, facts: SubjectFacts, signed: SignedSnapshot | None
) -> Iterator[tuple[str, bytes]]:
    """Yields the proofs of the manifest, of the snapshot and of the run's end."""
    found: dict[str, int] = {}
    snapshot = None if signed is None else signed.snapshot.digest
    for entry in facts.log.entries:
        if entry.type in (*ENDS, MANIFEST) and entry.run == facts.name:
            found[MANIFEST if entry.type == MANIFEST else "run"] = entry.index
        elif (entry.type, entry.payload) == (SNAPSHOT_SIGNED, snapshot):
            found["snapshot"] = entry.index
    for what, index in sorted(found.items()):
        yield what, make_proof(out, str(index)).proof.to_bytes
