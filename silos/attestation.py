"""Evidence about other hospitals' machines, for a policy that demands it.

A verifier is one function. Whoever sells trusted hardware ships it as a
package with an entry point in the group ``collegium.attestation``; a hospital
that wants it installs the package and names it in its policy. Nothing is ever
loaded that the hospital did not install itself.
"""

from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points

from protocol.enrolment import Attestation, require_own
from protocol.errors import MessageRefused, PolicyRefused
from protocol.identity import Member, Roster

#: Says whether evidence shows that a member's key lives on a machine as it should be; raises
#: PolicyRefused when it does not. The evidence is what the member sent: trust no byte of it.
Verifier = Callable[[Member, bytes], None]

GROUP = "collegium.attestation"


def find_verifier(name: str, installed: Iterable[EntryPoint] | None = None) -> Verifier:
    """Returns the installed verifier of this name.

    Args:
        name: as the policy says it.
        installed: the entry points to look in; this Python's own when None.

    Raises:
        PolicyRefused: none, or more than one, is installed.
    """
    found = entry_points(group=GROUP) if installed is None else installed
    named = [point for point in found if point.name == name]
    if len(named) != 1:
        raise PolicyRefused(
            f"the policy demands attestation by {name!r}, but {len(named)} verifiers of that name "
            "are installed: install the package that brings it, once"
        )
    verifier: Verifier = named[0].load()
    return verifier


def require_attested(
    roster: Roster, attestations: Mapping[str, Attestation], verifier: Verifier
) -> None:
    """Checks the evidence of every member of a roster.

    Args:
        roster: a signed roster.
        attestations: by site; those of strangers are ignored.
        verifier: what the hospital's policy names.

    Raises:
        PolicyRefused: a member has no evidence, none of its own, or none that
            satisfies the verifier.
    """
    for member in roster.members:
        attestation = attestations.get(member.site)
        if attestation is None:
            raise PolicyRefused(f"{member.site} has sent no evidence about its machine")
        try:
            require_own(attestation, member)
        except MessageRefused as error:
            raise PolicyRefused(f"the evidence of {member.site} is not its own") from error
        verifier(member, attestation.evidence)
