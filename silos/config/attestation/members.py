"""The check of the other members' machines in one run, before anything is shared with them."""

from collections.abc import Callable, Iterable, Mapping

from compliance.storage.clock import Clock
from protocol.errors import FederationError, MessageRefused, PolicyRefused
from protocol.identity.machine_evidence import MachineEvidence, parse_run_evidence
from protocol.identity.roster import Member
from silos.config.attestation.policy import AttestationPolicy, Verifier


class MachineCheck:
    """Checks each member's evidence once in a run; a member that has passed is not asked again.

    The coordinator hands on what members have shown. It can withhold evidence,
    and then the member is refused; it cannot invent or exchange any.

    Args:
        policy: what this hospital asks for.
        challenge: the digest of the run's notice.
        fetch: returns the run's evidence (``RunEvidence``) as the coordinator has it, or None.
        clock: says what time it is.

    Raises:
        PolicyRefused: a verifier that the policy names is not installed.
    """

    def __init__(
        self,
        policy: AttestationPolicy,
        challenge: str,
        fetch: Callable[[], bytes | None],
        clock: Clock,
    ) -> None:
        self._verifiers: Mapping[str, Verifier] = policy.verifiers()
        self._challenge, self._fetch, self._clock = challenge, fetch, clock
        self._passed: set[Member] = set()

    def __call__(self, members: Iterable[Member]) -> None:
        """Returns when every one of these members has shown what the policy asks for.

        Raises:
            PolicyRefused: names the first that has not, and says why.
            LinkLost: the coordinator cannot be asked.
        """
        left = [member for member in members if member not in self._passed]
        if not left:
            return
        shown = self._shown()
        for member in left:
            self._require(member, shown.get(member.site))
            self._passed.add(member)

    def _shown(self) -> Mapping[str, MachineEvidence]:
        found = self._fetch()
        if found is None:
            return {}
        try:
            return parse_run_evidence(found).shown
        except MessageRefused as error:
            raise PolicyRefused("the coordinator's list of evidence cannot be read") from error

    def _require(self, member: Member, evidence: MachineEvidence | None) -> None:
        if evidence is None:
            raise PolicyRefused(
                f"{member.site} has shown no evidence about its machine in this run, and "
                "policy.attestation asks for it: it has no TEE, or the coordinator withholds it"
            )
        verify = self._verifiers.get(evidence.kind)
        if verify is None:
            raise PolicyRefused(
                f"{member.site} shows evidence of the kind {evidence.kind}; policy.attestation "
                f"accepts {', '.join(self._verifiers)}"
            )
        try:
            verify(member, evidence, self._challenge, self._clock())
        except FederationError as error:
            raise PolicyRefused(
                f"the evidence of {member.site} about its machine is refused: {error}"
            ) from error
