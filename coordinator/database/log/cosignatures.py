"""The cosignatures of heads of the log, by hospitals and by witnesses outside the consortium.

One row for each head that anybody has cosigned; more lines may come to it. As every
row it has its entry in the log, behind the head that it is about.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from compliance.audit.log import NewEntry
from coordinator.database.store import CheckpointRow, LoggedRow, Transaction
from protocol.encoding import digest
from protocol.errors import MessageRefused, StoreBroken
from protocol.identity.roster import SigningKey
from protocol.log.cosignature import Cosignature, cosignature_time
from protocol.log.signed_note import SignatureLine, parse_lines, with_lines

#: The type of an entry that holds cosignatures.
COSIGNED = "cosigned"
#: So many heads are read at once, from the newest on.
_AT_ONCE = 16
#: The letters of base64 after a name that hold the key's four bytes (and four bits of the time,
#: which are 0 for some billions of years), with the space before them.
_KEY_LETTERS = 7


class CosignaturesRow(LoggedRow):
    """The signature lines of the cosigners of one head, by the head's size."""

    __tablename__ = "cosignatures"
    size: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    lines: Mapped[str] = mapped_column(Text)

    @property
    def signatures(self) -> list[SignatureLine]:
        """The lines, in the order in which they came.

        Raises:
            StoreBroken: it holds something else.
        """
        try:
            return parse_lines(self.lines.encode())
        except (MessageRefused, ValueError, AttributeError) as error:
            raise StoreBroken(
                f"the cosignatures of the head of {self.size} entries were changed: they are none"
            ) from error


@dataclass(frozen=True, kw_only=True)
class NewestCosignature:
    """The size of the newest head that a cosigner has signed, and when (seconds since 1970).

    ``key_id`` is eight hexadecimal digits: the cosigner's key is known by name and these.
    """

    name: str
    key_id: str
    size: int
    time: int


def keep_cosignatures(
    transaction: Transaction,
    size: int,
    found: Iterable[Cosignature],
    signer: SigningKey,
) -> None:
    """Adds verified cosignatures of the head of a size; of a key that has signed it, none."""
    row = transaction.session.get(CosignaturesRow, size) or CosignaturesRow(size=size, lines="")
    known = {(line.name, line.key_id) for line in row.signatures} if row.lines else set()
    new = [one.line for one in found if (one.key.name, one.key.key_id) not in known]
    if new:
        row.lines += "".join(line.text for line in new)
        entry = NewEntry(
            type=COSIGNED,
            run_id=None,
            payload=digest(row.lines.encode()),
            record=transaction.write(row),
        )
        transaction.log([entry], signer)


def all_cosignatures(
    session: Session, sizes: Collection[int] | None = None
) -> Sequence[CosignaturesRow]:
    """Returns every row, or those of some sizes, in order of size."""
    query = select(CosignaturesRow).order_by(CosignaturesRow.size)
    if sizes is not None:
        query = query.where(CosignaturesRow.size.in_(sizes))
    return session.scalars(query).all()


def newest_of_each(session: Session, after: int = 0) -> dict[str, int]:
    """Returns of each cosigner the size of the newest head that carries its name, unverified.

    Args:
        session: of the coordinator's database.
        after: only heads larger than this.

    A cosigner is the beginning of its line: its name, and the letters that hold the key's number.
    Nothing is decoded, so that fifty thousand heads take a third of a second.
    """
    query = select(CosignaturesRow.size, CosignaturesRow.lines).where(CosignaturesRow.size > after)
    newest: dict[str, int] = {}
    rows = query.order_by(CosignaturesRow.size).execution_options(yield_per=1000)
    for size, lines in session.execute(rows):
        for line in str(lines).splitlines():
            newest[line[: line.rfind(" ") + _KEY_LETTERS]] = size
    return newest


def cosigned_notes(session: Session) -> Iterator[tuple[int, bytes]]:
    """Yields size and note of every cosigned head, with all cosignatures, the newest first.

    Raises:
        StoreBroken: a row was changed.
    """
    query = (
        select(CosignaturesRow, CheckpointRow.note)
        .join(CheckpointRow, CheckpointRow.size == CosignaturesRow.size)
        .order_by(CosignaturesRow.size.desc())
        .execution_options(yield_per=_AT_ONCE)  # the newest ones are mostly enough
    )
    with session.execute(query) as rows:  # whoever stops early leaves no cursor open on a server
        for row, note in rows:
            yield row.size, with_lines(note, row.signatures)


def newest_sizes(session: Session, count: int) -> frozenset[int]:
    """Returns the sizes of so many of the newest heads that anybody has cosigned."""
    query = select(CosignaturesRow.size).order_by(CosignaturesRow.size.desc()).limit(count)
    return frozenset(session.scalars(query))


def newest_cosignatures(
    session: Session, sizes: Collection[int] | None = None
) -> list[NewestCosignature]:
    """Returns of each cosigner the newest head that it signed, by name; of some heads when named.

    Raises:
        StoreBroken: a row was changed.
    """
    newest = {
        (line.name, line.key_id): (row.size, cosignature_time(line))
        for row in all_cosignatures(session, sizes)
        for line in row.signatures
    }
    return [
        NewestCosignature(name=name, key_id=key_id.hex(), size=size, time=time)
        for (name, key_id), (size, time) in sorted(newest.items())
    ]
