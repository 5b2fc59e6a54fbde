"""Reading and writing transactions, with one meaning on SQLite and on PostgreSQL.

Rules:

1. A writing transaction excludes every other one from its start, so what it
   reads is still true when it commits. Writers queue, for WAIT_SECONDS at most.
2. A transaction that returned survives a power cut. One that raised left
   nothing behind, or the error says that this is not known.
3. A reading transaction sees one state of the database and waits for nobody.
4. A server that is silent is asked anew for PATIENCE_SECONDS before a
   transaction begins, never in the middle of one; for LOOK_SECONDS where
   somebody waits for a page, which says so and looks again.

When the answer to a COMMIT is lost, the server is asked what became of the
transaction, by its number. So a booking is neither lost nor made twice.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from protocol.errors import StoreBroken, StoreSilent

#: How long a transaction waits for the one before it.
WAIT_SECONDS = 30
#: How long a server may take to be started again.
PATIENCE_SECONDS = 10.0
#: The same for whoever would rather be told soon than wait.
LOOK_SECONDS = 0.3
_PAUSE_SECONDS = 0.2
#: Option of a connection whose transactions only read.
READS = "collegium_reads"
#: Where a connection keeps the server's number of its writing transaction.
NUMBER = "collegium_transaction"


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Yields a connection in a transaction of its own; durable when left normally.

    Raises:
        StoreSilent: the database does not answer; the message says whether anything was changed.
        StoreBroken: it is held by somebody else, or refuses the change; the same.
    """
    number, ended = None, False
    try:
        with _begun(engine, reads=False) as connection:
            number = connection.info.get(NUMBER)
            yield connection
            ended = True
            connection.commit()
    except (DBAPIError, NoConnectionFree) as error:
        if ended and number is not None and _was_committed(engine, number):
            return
        raise _broken(engine, error) from error


@contextmanager
def reading(engine: Engine, *, patient: bool = True) -> Iterator[Connection]:
    """Yields a connection for queries that all see the same state; it changes nothing.

    Args:
        engine: of the database.
        patient: whether a silent server is waited for as long as one that is started again takes.

    Raises:
        StoreSilent: the database does not answer.
        StoreBroken: it cannot be read.
    """
    try:
        with _begun(engine, reads=True, patient=patient) as connection:
            yield connection
    except (DBAPIError, NoConnectionFree) as error:
        raise _broken(engine, error) from error


def _broken(engine: Engine, error: DBAPIError | NoConnectionFree) -> StoreBroken:
    told = f"the database {explained(error)}"
    if not is_silent(error):
        return StoreBroken(told)
    engine.dispose()  # the connections that are kept are as dead as this one
    return StoreSilent(told)


def explained(error: DBAPIError | NoConnectionFree) -> str:
    """Returns what the database did, in words that name no value and no password, and a remedy."""
    reason = reason_of(error)
    if is_held(error):
        return (
            f"is held by another program ({reason}): nothing was changed. Wait for that program "
            "or end it, then try again"
        )
    if is_silent(error):
        return (
            f"does not answer ({reason}): nothing was changed. Start it, or mend the way to it, "
            "then try again"
        )
    return (
        f"refused ({reason}): nothing was changed. Check disk space and permissions, then try "
        "again, or restore a backup"
    )


def reason_of(error: DBAPIError | NoConnectionFree) -> str:
    """Returns the database's own message, without the row that PostgreSQL shows beside them."""
    if isinstance(error, NoConnectionFree):
        return "every connection is in use"
    primary = getattr(getattr(error.orig, "diag", None), "message_primary", None)
    return " ".join(str(primary or error.orig).split())


def is_silent(error: DBAPIError | NoConnectionFree) -> bool:
    """Whether the server could not be reached, or the connection to it was lost."""
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", "")  # SQLite's errors have no such thing
    return error.connection_invalidated or state is None or state.startswith(("08", "57P"))


def is_held(error: DBAPIError | NoConnectionFree) -> bool:
    """Whether somebody else's transaction did not end in time."""
    if not isinstance(error, DBAPIError):
        return True
    locked = "database is locked" in str(error.orig)
    return locked or getattr(error.orig, "sqlstate", None) == "55P03"


def _begun(engine: Engine, *, reads: bool, patient: bool = True) -> Connection:
    """Returns a connection in a new transaction; nothing is done yet, so it may be tried again."""
    patient_until = time.monotonic() + (PATIENCE_SECONDS if patient else LOOK_SECONDS)
    while True:
        try:
            connection = engine.connect().execution_options(**{READS: reads})
            try:
                connection.begin()
            except BaseException:
                connection.close()
                raise
        except DBAPIError as error:
            if not is_silent(error) or time.monotonic() > patient_until:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return connection


def _was_committed(engine: Engine, number: str) -> bool:
    """Asks the server what became of a transaction whose COMMIT was not answered.

    Raises:
        StoreBroken: it cannot be known now.
    """
    unknown = (
        "whether the last change was kept is not known. Start the database, then ask for the same "
        "again: what was kept is found, and nothing is booked twice"
    )
    try:
        # A writing transaction begins only when the one in question has ended.
        with _begun(engine, reads=False) as connection:
            question = text("SELECT pg_xact_status(CAST(:number AS xid8))")
            status = connection.execute(question, {"number": number}).scalar()
    except (DBAPIError, NoConnectionFree) as error:
        raise StoreBroken(
            f"the database does not answer ({reason_of(error)}): {unknown}"
        ) from error
    if status not in ("committed", "aborted"):
        raise StoreBroken(f"the database does not remember its last transaction: {unknown}")
    return bool(status == "committed")
