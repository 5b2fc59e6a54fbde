"""Cosigners of the log as pages show them: who has cosigned it, how far, and whether a quorum has.

Only the newest head of each cosigner is verified, and the newest ones until a quorum is found: the
verification of the whole log looks at all.

Cosignatures of hospitals are verified with the keys of their rosters. Those of witnesses outside
the consortium are not: nobody in the folder says which keys are theirs.
"""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from coordinator.audit.cosignature_check import (
    check_cosignatures,
    cosigned_at,
    cosigned_by_quorum,
)
from coordinator.audit.faults import Faults
from coordinator.database.log.cosignatures import (
    newest_cosignatures,
    newest_of_each,
    newest_sizes,
)
from coordinator.database.log.entry_proofs import newest_roster
from coordinator.database.store import newest_head
from protocol.errors import MessageRefused, StoreBroken
from protocol.log.cosignature import cosigning_site, site_cosigner

#: So many heads below the newest are read again: a late cosigner adds a line to a row.
_AGAIN = 2000
#: So many of the newest cosigned heads are looked at for a quorum.
_NEWEST = 20


@dataclass(frozen=True, kw_only=True)
class CosignerProgress:
    """Progress of one cosigner: who, of which kind, and the newest head that it has signed.

    ``kind`` is "hospital", "former hospital" (of an earlier run's roster) or "witness"; ``size``
    and ``time`` are None where it has signed none. ``verified`` is false where its key is unknown.
    """

    name: str
    kind: str
    size: int | None
    time: str | None
    verified: bool


@dataclass(frozen=True, kw_only=True)
class CosignedLog:
    """Progress of all cosigners of the log.

    ``size`` is that of the log's newest head, ``quorum_size`` of the newest that a quorum has
    cosigned (0: none); ``quorum`` of the ``hospitals`` of the newest run are needed, both 0 where
    there is no run.
    """

    size: int
    quorum: int
    hospitals: int
    quorum_size: int
    cosigners: tuple[CosignerProgress, ...]
    faults: tuple[str, ...] = ()


class NewestCosigned:
    """The newest head that each cosigner of a log has signed, as far as the log was read."""

    def __init__(self) -> None:
        self._newest: dict[str, int] = {}

    def read(self, session: Session) -> frozenset[int]:
        """Returns the sizes of these heads; only what was added since is read."""
        before = self._newest  # threads may read at once: each leaves what it knows, whole
        after = max(before.values(), default=0) - _AGAIN
        self._newest = now = before | newest_of_each(session, after)
        return frozenset(now.values())


def cosigned_log(session: Session, newest: NewestCosigned | None = None) -> CosignedLog:
    """Returns who has cosigned the log, and how far.

    Args:
        session: the consortium's database.
        newest: what was read of it before.

    Raises:
        StoreBroken: a row of cosignatures, or the roster of the newest run, was changed.
    """
    faults = Faults()
    sizes = (newest or NewestCosigned()).read(session) | newest_sizes(session, _NEWEST)
    found = check_cosignatures(session, (), faults, sizes)
    try:
        roster = newest_roster(session)
    except MessageRefused as error:
        raise StoreBroken("the newest run's roster is damaged; restore a backup") from error
    members = roster.members if roster is not None else ()
    keys = {site_cosigner(one.site, bytes.fromhex(one.public_key)): one.site for one in members}
    head = newest_head(session)
    others = [key for key in found.newest if key not in keys]
    known = {(key.name, key.key_id.hex()) for key in (*keys, *others)}
    cosigners = [
        *(_hospital(site, "hospital", found.newest.get(key)) for key, site in keys.items()),
        *(
            _hospital(cosigning_site(key.name) or key.name, "former hospital", found.newest[key])
            for key in others
        ),
        *(
            CosignerProgress(
                name=one.name,
                kind="witness",
                size=one.size,
                time=cosigned_at(one.time),
                verified=False,
            )
            for one in newest_cosignatures(session, sizes)
            if (one.name, one.key_id) not in known
        ),
    ]
    return CosignedLog(
        size=0 if head is None else head.size,
        quorum=0 if roster is None else roster.quorum,
        hospitals=len(keys),
        quorum_size=cosigned_by_quorum(session, found),
        cosigners=tuple(cosigners),
        faults=tuple(str(one) for one in faults.found),
    )


def _hospital(name: str, kind: str, newest: tuple[int, int] | None) -> CosignerProgress:
    size, time = (None, None) if newest is None else (newest[0], cosigned_at(newest[1]))
    return CosignerProgress(name=name, kind=kind, size=size, time=time, verified=True)
