"""On which side of its studies each of a hospital's patients is, for life.

Only a hospital whose patients have a life-long number can say that a training
patient never becomes a test patient. It remembers every patient whom a study used,
under a keyed hash of that number, and refuses a study in which one would change
sides: whatever the data set is called, and whatever its columns.

The marks are pseudonyms. They never leave the database, and without the hospital's
secret nobody can make them.
"""

import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import Connection, bindparam, insert, select

from compliance.ledger.entries import Partition
from protocol.errors import PolicyRefused
from silos.database.database import SiteDatabase
from silos.database.tables import PatientSideRow

_PURPOSE = b"collegium/side of a patient/v1\0"
_AT_ONCE = 500
_KNOWN = select(PatientSideRow.mark, PatientSideRow.side).where(
    PatientSideRow.mark.in_(bindparam("marks", expanding=True))
)
_REMEMBER = insert(PatientSideRow.__table__)  # type: ignore[arg-type]  # a class's own table is one


def remember_sides(hospital: SiteDatabase, sides: Mapping[str, Partition]) -> None:
    """Records durably on which side each patient is: all of them, or none.

    Args:
        hospital: whose patients they are.
        sides: by the patient's number, in its one spelling.

    Raises:
        PolicyRefused: an earlier study had some of them on the other side; says how many.
    """
    marked = _marked(hospital, sides)
    with hospital.connection() as connection:
        known = dict(_known(connection, list(marked)))
        _require_same(hospital.site, marked, known)
        new = [{"mark": mark, "side": side} for mark, side in marked.items() if mark not in known]
        if new:
            connection.execute(_REMEMBER, new)


def require_same_sides(hospital: SiteDatabase, sides: Mapping[str, Partition]) -> None:
    """Checks what ``remember_sides`` would; records nothing.

    Raises:
        PolicyRefused: see ``remember_sides``.
    """
    marked = _marked(hospital, sides)
    with hospital.reading() as connection:
        known = dict(_known(connection, list(marked)))
    _require_same(hospital.site, marked, known)


def _marked(hospital: SiteDatabase, sides: Mapping[str, Partition]) -> dict[str, Partition]:
    secret = hmac.new(hospital.split_key, _PURPOSE, hashlib.sha256).digest()
    return {
        hmac.new(secret, number.encode(), hashlib.sha256).hexdigest(): side
        for number, side in sides.items()
    }


def _known(connection: Connection, marks: Sequence[str]) -> Iterator[tuple[str, str]]:
    for start in range(0, len(marks), _AT_ONCE):
        some = marks[start : start + _AT_ONCE]
        yield from ((mark, side) for mark, side in connection.execute(_KNOWN, {"marks": some}))


def _require_same(site: str, marked: Mapping[str, Partition], known: Mapping[str, str]) -> None:
    moved = sum(known.get(mark, side) != side for mark, side in marked.items())
    if moved:
        raise PolicyRefused(
            f"site {site}: {moved} patients would change sides: an earlier study trained on them "
            "and this one would test on them, or the reverse. Ask for split.method keyed_hash "
            "with the same test_fraction as before"
        )
