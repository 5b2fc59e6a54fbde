"""Faults of a database, told without a word of its driver's."""

import hashlib
from typing import NamedTuple

from sqlalchemy.exc import DBAPIError

#: What to do, by the beginning of the SQLSTATE (PostgreSQL and others that follow SQL:2003).
_REMEDIES = {
    "08": "the database cannot be reached, or went away: start it; mend host, port or firewall",
    "22": "a value does not fit where the query puts it: mend the query's casts and conversions",
    "25006": "the query writes, and only reading is allowed: take out what writes",
    "28": "the database does not let this account in: mend user or password in the address",
    "3D000": "there is no such database: mend the address's end",
    "40": "another program was in the way: try again",
    "42501": "the account may not read it: grant it SELECT on what the query names",
    "42601": "the query is not SQL that this database knows: mend its syntax",
    "42703": "the query names a column that no table of it has: mend its name, or its quotes",
    "42P01": "the query names a table that there is not: mend its name, or its schema",
    "42": "the query does not fit the database's tables: mend it",
    "53": "the database has too little memory or disk, or too many connections",
    "57014": "the query was cancelled, or took longer than data.seconds: make it faster, or allow "
    "more",
    "57P": "the database was shut down or restarted while it answered: start it, and try again",
    "58": "the database has trouble with its disk: ask its administrator",
    "XX": "the database has trouble with itself: ask its administrator",
}
#: SQLite's own codes, of Python's ``sqlite_errorname``.
_SQLITE = {
    "SQLITE_BUSY": "another program writes to the database: try again",
    "SQLITE_LOCKED": "another program writes to the database: try again",
    "SQLITE_CORRUPT": "the database's file is damaged: restore it",
    "SQLITE_NOTADB": "the file is no SQLite database: mend the address",
    "SQLITE_CANTOPEN": "the file cannot be opened: mend the address, or who may read it",
    "SQLITE_IOERR": "the file cannot be read to its end: is its disk there?",
    "SQLITE_READONLY": "the query writes, and only reading is allowed: take out what writes",
    "SQLITE_INTERRUPT": "the query took longer than data.seconds: make it faster, or allow more",
    "SQLITE_ERROR": "the query names a table or column that there is not, or is not SQLite's SQL: "
    "mend it",
}
#: The step of connecting, of which most drivers say nothing that is not text.
CONNECTING = "the database could not be connected to"
_NOT_REACHED = (
    "it cannot be reached, or does not let this account in: mend host, port, TLS, user or password "
    "of the address"
)
_ELSE = "run the query in the database's own client, which says more"


class DatabaseFault(NamedTuple):
    """A fault: where it happened, its class, its SQLSTATE or SQLite's name, a fingerprint."""

    step: str
    kind: str
    state: str
    fingerprint: str

    @property
    def remedy(self) -> str:
        """The way to mend it."""
        if self.state in _SQLITE:
            return _SQLITE[self.state]
        found = next(
            (text for begin, text in _REMEDIES.items() if self.state.startswith(begin)), ""
        )
        if not found and self.step == CONNECTING:
            found = _NOT_REACHED
        return f"{found}; else {_ELSE}" if found else _ELSE

    def __str__(self) -> str:
        state = f", {self.state}" if self.state else ""
        return f"{self.step} ({self.kind}{state}, fingerprint {self.fingerprint}): {self.remedy}"


def fault_of(error: BaseException, *, step: str, query: str) -> DatabaseFault:
    """Returns an error of a database without anything of its text.

    The fingerprint is of step, class, SQLSTATE and query: the same fault has the same one, and it
    tells nothing of the records.
    """
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    kind = type(cause).__name__
    state = ""
    for name in ("sqlstate", "pgcode", "sqlite_errorname"):
        found = getattr(cause, name, None)
        if isinstance(found, str) and found.isascii() and found.replace("_", "").isalnum():
            state = found[:40]
            break
    whole = "\n".join((step, kind, state, query))
    return DatabaseFault(step, kind, state, hashlib.sha256(whole.encode()).hexdigest()[:12])
