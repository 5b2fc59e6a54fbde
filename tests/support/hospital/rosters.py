"""Rosters for tests that are about something else than who the coordinator is."""

from collections.abc import Sequence

from protocol.identity.roster import CoordinatorIdentity, Member, Roster, SigningKey
from protocol.identity.timestamps import NEVER

#: A coordinator whose key and root are everybody's.
COORDINATOR_KEY = SigningKey.from_bytes(bytes(31) + b"c")
COORDINATOR = CoordinatorIdentity(public_key=COORDINATOR_KEY.public.hex(), root="c" * 64)


def roster_with(
    members: Sequence[Member],
    *,
    version: int = 1,
    previous: str | None = None,
    valid_until: str = NEVER,
    coordinator: CoordinatorIdentity = COORDINATOR,
) -> Roster:
    """Returns the roster of these members."""
    return Roster(
        coordinator=coordinator,
        members=tuple(members),
        valid_until=valid_until,
        version=version,
        previous=previous,
    )
