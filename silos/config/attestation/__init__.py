"""Attestation: evidence that a member's identity key is held by a machine as it should be.

Rules:

1. A hospital decides alone what it asks for (``policy.attestation`` in its site
   file), and checks the others' evidence itself. The coordinator hands evidence
   on; it can withhold it, and cannot invent or exchange any.
2. Evidence is about one member, one identity key and one run, and is shown when
   the hospital joins. It is checked before anything that follows from a record
   or a mask's secret leaves: when the round's keys arrive, of every member of
   the round.
3. Roots are pinned by digest, and nothing is fetched. What each verifier does
   not check stands at its head and in ``docs/attestation.md``.
"""

from collections.abc import Sequence

from protocol.identity.machine_evidence import MachineEvidence
from silos.config.attestation import sev_snp, tdx
from silos.config.attestation.kernel import machine_evidence
from silos.config.attestation.members import MachineCheck
from silos.config.attestation.policy import AttestationPolicy, Verifier

__all__ = ["AttestationPolicy", "MachineCheck", "Verifier", "facts_of", "machine_evidence"]


def facts_of(evidence: MachineEvidence) -> Sequence[tuple[str, str]]:
    """Returns what evidence says, for people who write a policy; nothing is verified.

    Raises:
        MessageRefused: it is malformed.
    """
    read = {sev_snp.KIND: sev_snp.facts, tdx.KIND: tdx.facts}[evidence.kind]
    return (("kind", evidence.kind), *read(evidence.report))
