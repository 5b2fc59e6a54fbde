"""A database of a PostgreSQL server: for a service on several machines, or with its own backups.

Every connection commits durably (``synchronous_commit``) and begins its writing
transactions with an advisory lock that the database has once; docs/adr/0007 says
why. A server that gives up durability (``fsync=off``) is refused, and a distant
one is spoken to over verified TLS unless the address says otherwise.

No message holds a password. Who the user is and how it proves it, libpq decides:
the address, PGPASSWORD, PGPASSFILE or ``~/.pgpass``, a certificate, the socket's peer.
"""

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from compliance.storage import transactions
from compliance.storage.engines.revisions import OTHER_VERSION, is_newest, migrate
from protocol.errors import FederationError, StoreBroken, StoreSilent, WorkspaceRefused

SCHEMES = ("postgresql://", "postgresql+psycopg://", "postgres://")
_DRIVER = "postgresql+psycopg"
#: Parameters of an address that are secrets, beside the password before the @.
_SECRETS = ("password", "sslpassword")
#: Any number, the same for all versions of this software: who holds it may write.
_WRITER = int.from_bytes(b"collegiu")
_CONNECT_SECONDS = 10
#: What each writing transaction begins with: it waits for the one before, takes a number by which
#: a lost answer to its COMMIT is found, and lets go should its program fall asleep.
_BEGIN_WRITING = f"""
    SELECT pg_current_xact_id()::text,
           set_config('idle_in_transaction_session_timeout', '5min', true)
    FROM pg_advisory_xact_lock({_WRITER})
"""  # noqa: S608
#: A client that died without a word loses its lock after about a minute.
_SESSION = (
    "SET synchronous_commit = on",
    "SET tcp_keepalives_idle = 30",
    "SET tcp_keepalives_interval = 10",
    "SET tcp_keepalives_count = 3",
)


def open_server(address: str, migrations: Path) -> Engine:
    """Returns an engine on a server's database; see ``database.open_database``."""
    engine = _engine(parsed(address))
    event.listen(engine, "begin", _begin)
    try:
        _require_durable(engine)
        with engine.begin() as connection:
            migrate(connection, migrations)
    except DBAPIError as error:
        engine.dispose()
        raise _refusal(engine.url, error) from error
    except FederationError:
        engine.dispose()
        raise
    return engine


def open_server_for_reading(address: str, migrations: Path) -> Engine:
    """Returns an engine that can change nothing; see ``database.open_for_reading``."""
    engine = _engine(parsed(address))
    event.listen(engine, "begin", _begin_reading)
    try:
        with engine.connect() as connection:
            newest = is_newest(connection, migrations)
    except DBAPIError as error:
        engine.dispose()
        refusal = _refusal(engine.url, error)
        if transactions.is_silent(error):
            raise StoreSilent(str(refusal)) from error
        raise refusal from error
    if not newest:
        engine.dispose()
        raise StoreBroken(f"database {engine.url.database} {OTHER_VERSION}")
    return engine


def parsed(address: str) -> URL:
    """Returns an address in SQLAlchemy's form, with the driver and TLS decided.

    Raises:
        WorkspaceRefused: it cannot be read, or names no database; no part of it is shown.
    """
    url = _read(address)
    if not url.database:
        raise WorkspaceRefused(
            "the database's address names no database: it ends with /database, as in "
            "postgresql://user@host:5432/database"
        )
    url = url.set(drivername=_DRIVER)
    if _is_distant(url) and "sslmode" not in url.query and "PGSSLMODE" not in os.environ:
        url = url.update_query_dict({"sslmode": "verify-full"})
    if "connect_timeout" not in url.query:
        url = url.update_query_dict({"connect_timeout": str(_CONNECT_SECONDS)})
    return url


def _read(address: str) -> URL:
    try:
        url = make_url(address)
        if "@" not in (url.host or ""):
            return url
    except (ArgumentError, ValueError):
        pass  # the error may show a piece of the password
    raise WorkspaceRefused(
        "the database's address cannot be read: it has the form "
        "postgresql://user@host:5432/database, with %40 for an @ in a password"
    )


def public_name(address: str) -> str:
    """Returns the address without its secrets, to be kept or shown."""
    url = _read(address).difference_update_query(_SECRETS)
    return URL.create(
        "postgresql", url.username, None, url.host, url.port, url.database, url.query
    ).render_as_string()


def _is_distant(url: URL) -> bool:
    """Whether bytes cross a network: no socket in the file system, not this machine."""
    named = url.host or url.query.get("host") or os.environ.get("PGHOST", "")
    hosts = named.split(",") if isinstance(named, str) else named
    near = ("", "localhost", "127.0.0.1", "::1")
    return any(host not in near and not host.startswith(("/", "@")) for host in hosts)


def _engine(url: URL) -> Engine:
    try:
        engine = create_engine(
            url, isolation_level="READ COMMITTED", pool_pre_ping=True, hide_parameters=True
        )
    except ModuleNotFoundError as error:
        raise WorkspaceRefused(
            "PostgreSQL needs its driver: pip install 'collegium[postgres]'"
        ) from error
    event.listen(engine, "connect", _prepare)
    return engine


def _prepare(connection: Any, _record: object) -> None:
    with connection.cursor() as cursor:
        for statement in (*_SESSION, f"SET lock_timeout = '{transactions.WAIT_SECONDS}s'"):
            cursor.execute(statement)
    connection.commit()


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get(transactions.READS, False):
        _begin_reading(connection)
        return
    # READ COMMITTED: what is read after the lock was given is what the writer before has written.
    number = connection.exec_driver_sql(_BEGIN_WRITING).scalar()
    connection.info[transactions.NUMBER] = number


def _begin_reading(connection: Connection) -> None:
    connection.info[transactions.NUMBER] = None
    connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def _require_durable(engine: Engine) -> None:
    wanted = {"fsync": "on", "server_encoding": "UTF8"}
    with engine.connect().execution_options(**{transactions.READS: True}) as connection:
        for name, value in wanted.items():
            found = connection.execute(text(f"SHOW {name}")).scalar_one()
            if found != value:
                raise WorkspaceRefused(
                    f"the PostgreSQL server has {name}={found}, and a ledger needs {value}: change "
                    "it, or name another server"
                )


def _refusal(url: URL, error: DBAPIError) -> FederationError:
    told = _without_secrets(url, f"database {url.database} {transactions.explained(error)}")
    if "password" in transactions.reason_of(error):
        told += ". A password is looked for in ~/.pgpass, or in the file that PGPASSFILE names"
    if transactions.is_silent(error) or transactions.is_held(error):
        return WorkspaceRefused(told)
    if getattr(error.orig, "sqlstate", None) == "42501":
        reason = transactions.reason_of(error)
        return WorkspaceRefused(
            f"database {url.database} does not let user {url.username} do this ({reason}): open it "
            "once as its owner, who makes the tables, and see docs/databases.md for the rights"
        )
    return StoreBroken(told)


def _without_secrets(url: URL, message: str) -> str:
    """Returns a message without secrets: a driver that misreads an address might show a piece."""
    secrets = [str(url.password or ""), *(str(url.query.get(name, "")) for name in _SECRETS)]
    for secret in filter(None, secrets):
        for form in (secret, quote(secret, safe="")):
            message = message.replace(form, "***")
    return message
