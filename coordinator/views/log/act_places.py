"""Places in the log of the entries about people's acts, as far as the log was read.

An act's entries are under no run, as most of a long log is, and the log has no column of types: so
they are looked for once, by the database, and later only in what was added.
"""

from collections.abc import Collection, Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from coordinator.database.store import LogEntryRow, logged_entry, place_in_entry
from coordinator.governance.governance import ACT_ENTRY

#: As an act's entry begins to say its type; a quote within a value would be escaped.
_TYPE = f'"type":"{ACT_ENTRY}'.encode()


class ActPlaces:
    """The numbers of the log's entries about each act, by the act's digest."""

    def __init__(self) -> None:
        self._known: tuple[int, Mapping[str, tuple[int, ...]]] = (0, {})

    def read(self, session: Session, size: int, acts: Collection[str]) -> list[int]:
        """Returns the numbers of the entries about some acts, in order.

        Args:
            session: the consortium's database.
            size: of the log.
            acts: digests of acts.

        Raises:
            StoreBroken: an entry about an act was changed.
        """
        read, known = self._known  # threads may read at once: each leaves what it knows, whole
        if size != read:
            if size < read:
                read, known = 0, {}
            known = {**known}
            for place, payload in _added(session, read, size):
                known[payload] = (*known.get(payload, ()), place)
            self._known = size, known
        return sorted(place for act in acts for place in known.get(act, ()))


def _added(session: Session, first: int, end: int) -> list[tuple[int, str]]:
    """Returns number and payload of the entries about acts in a part of the log."""
    query = select(LogEntryRow).where(
        LogEntryRow.idx >= first, LogEntryRow.idx < end, place_in_entry(session, _TYPE) > 0
    )
    found = map(logged_entry, session.scalars(query.order_by(LogEntryRow.idx)))
    return [(entry.index, entry.content.payload) for entry in found]
