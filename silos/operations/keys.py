"""Operations on a hospital's identity key: show it, replace it, begin anew with another.

Two ways, and never a new ledger:

* ``rotate`` announces the next key. The members sign a roster that names it,
  this hospital with the key before, and then it counts.
* ``leave`` ends trust in every roster so far, and the identity key with it: for
  a key that was stolen, or a consortium that has to be founded anew.
* ``write_off`` lets a hospital whose ledger was lost in part begin again, with
  nothing left to spend.
"""

from dataclasses import dataclass
from pathlib import Path

from protocol.errors import PolicyRefused
from protocol.transport.enrolment import change_key, to_bytes
from silos.config.directory import alone, opened
from silos.database.database import SiteDatabase
from silos.database.identity_keys import IdentityKeys
from silos.database.joined_runs import JoinedRuns, RunState
from silos.database.trusted_rosters import TrustedRosters
from silos.operations.roster import Line, line_of, refresh
from silos.operations.runs import end_part


@dataclass(frozen=True, kw_only=True)
class KeyView:
    """Public identity keys (hexadecimal): the own one, the next one, those it had."""

    site: str
    own: str
    next: str | None
    former: tuple[str, ...]


def show(home: Path) -> KeyView:
    """Returns a hospital's public identity keys."""
    with opened(home) as (_, hospital):
        return _view(hospital)


def rotate(home: Path) -> KeyView:
    """Makes and keeps the next identity key, and announces it to the coordinator.

    Again, the same key is announced again.

    Raises:
        PolicyRefused: no roster that this hospital trusts names its key, or a
            run that began with the key before is still open.
        MessageRefused: the coordinator does not take the announcement.
        LinkLost: it cannot be reached; the key is kept, and can be announced later.
    """
    with opened(home) as (site, hospital), line_of(home, site, hospital) as line:
        return rotate_over(hospital, line)


def rotate_over(hospital: SiteDatabase, line: Line) -> KeyView:
    """See ``rotate``."""
    trusted, keys = refresh(hospital, line).trusted, IdentityKeys(hospital)
    before = keys.own
    named = trusted is not None and hospital.site in trusted.sites
    if trusted is None or not named or trusted.key_of(hospital.site) != before.public:
        raise PolicyRefused(
            "no roster that this hospital trusts names its identity key, so there is nothing to "
            "rotate; after a theft: collegium silo roster leave"
        )
    keys.forget_former()
    change = change_key(hospital.site, before, keys.make_next())
    line.hand_in("key-change", to_bytes(change))
    return _view(hospital)


def leave(home: Path, reason: str) -> KeyView:
    """Ends trust in every roster so far; the hospital has a new identity key then.

    Open runs end here: what was sent stays paid, the rest is free again.
    Budget, ledger, split key and approvals stay as they are.

    Raises:
        WorkspaceRefused: the supervisor is at work.
        PolicyRefused: no reason is given.
    """
    with opened(home) as (_, hospital), alone(home):
        leave_chain(hospital, reason)
        return _view(hospital)


def leave_chain(hospital: SiteDatabase, reason: str) -> None:
    """See ``leave``; cut off anywhere, it may be said again."""
    if not reason.strip():
        raise PolicyRefused("say why, with --reason: nothing was left")
    for run in JoinedRuns(hospital).all():
        if run.state is not RunState.REFUSED:
            end_part(hospital, run, reason=reason)
    TrustedRosters(hospital).leave(reason)


def _view(hospital: SiteDatabase) -> KeyView:
    keys = IdentityKeys(hospital)
    return KeyView(
        site=hospital.site,
        own=keys.own.public.hex(),
        next=None if keys.next is None else keys.next.public.hex(),
        former=keys.former(),
    )
