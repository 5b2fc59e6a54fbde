"""Operations on attestation by a hospital's people: make evidence, and show its contents."""

from dataclasses import dataclass
from pathlib import Path

from compliance.storage.atomic_file import write_named
from protocol.codec import to_json
from protocol.encoding import canonical
from protocol.errors import PolicyRefused
from protocol.identity.machine_evidence import MachineEvidence, report_data
from protocol.identity.roster import Member
from protocol.transport.run_announcement import open_announcement
from silos.config.attestation import facts_of
from silos.config.attestation.kernel import INTERFACE, own_evidence
from silos.config.coordinator_identity import require_coordinator
from silos.config.credentials import Credentials
from silos.config.directory import opened
from silos.database.identity_keys import IdentityKeys
from silos.database.joined_runs import JoinedRuns

#: The challenge of a trial: no run's notice has this digest.
TRIAL = "0" * 64


@dataclass(frozen=True, kw_only=True)
class OwnEvidence:
    """This machine's evidence, what it says, and the run that it is about (None for a trial)."""

    evidence: MachineEvidence
    facts: tuple[tuple[str, str], ...]
    run_id: str | None


def attest(
    home: Path, to: Path, run_id: str | None = None, interface: Path = INTERFACE
) -> OwnEvidence:
    """Writes this machine's evidence, for a run that this hospital was asked to join, or a trial.

    Args:
        home: the hospital's folder.
        to: the file to write: canonical JSON of a ``MachineEvidence``.
        run_id: whose notice is the challenge; None for a trial, which no run accepts.
        interface: the kernel's folder.

    Raises:
        WorkspaceRefused: this machine has no TEE, this process may not ask it, or the file
            cannot be written.
        PolicyRefused: this hospital has not joined such a run.
    """
    with opened(home) as (site, hospital):
        challenge = TRIAL
        if run_id is not None:
            found = [run for run in JoinedRuns(hospital).all() if run.run_id == run_id]
            if not found:
                raise PolicyRefused(f"this hospital was not asked to join a run {run_id}")
            known = Credentials(home / "tls", site.name).coordinator
            public = require_coordinator(known, hospital).key
            challenge = open_announcement(found[0].notice, public).digest
        key = IdentityKeys(hospital).own.public.hex()
        member = Member(site=site.name, public_key=key)
    evidence = own_evidence(home, report_data(member, challenge), interface)
    write_named(to, canonical(to_json(evidence)))
    return OwnEvidence(evidence=evidence, facts=tuple(facts_of(evidence)), run_id=run_id)
