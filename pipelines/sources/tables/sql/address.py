"""The address of a hospital's database: from the environment, or a file for its owner alone."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import URL, Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from pipelines.sources.faults import reason_of, refused
from protocol.errors import CohortRefused

_CONNECT_SECONDS = 10
_MAX_BYTES = 1 << 14
#: What the names of parameters hold that are secrets, beside the password before the @.
_SECRETS = (
    "password", "passwd", "pwd", "passphrase", "token", "secret", "credential", "odbc_connect",
)  # fmt: skip
_FORM = "postgresql://user@host:5432/database"
#: Of each dialect the driver that is taken where the address names none, and how it is installed.
_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
}
_INSTALLED_BY = {
    "psycopg": "pip install 'collegium[postgres]'",
    "MySQLdb": "pip install mysqlclient",
    "oracledb": "pip install oracledb",
    "pyodbc": "pip install pyodbc",
}


@dataclass(frozen=True, kw_only=True)
class DatabaseAddress:
    """The place of a hospital's database's address; exactly one of the three is set.

    ``url`` is the address itself, without a secret in it; ``url_env`` the name of an environment
    variable that holds it, ``url_file`` a file. A relative path of an SQLite database is taken from
    ``folder``.
    """

    folder: Path
    url: str | None = None
    url_env: str | None = None
    url_file: Path | None = None

    def read(self, environment: Mapping[str, str] | None = None, *, site: str) -> URL:
        """Returns the address, with driver, TLS and limits decided.

        Raises:
            CohortRefused: it is not there, is open to others, or cannot be read; never shows it.
        """
        text = self._text(os.environ if environment is None else environment, f"site {site}")
        where = f"site {site}: the database's address"
        try:
            found = make_url(text)
        except (ArgumentError, ValueError):
            found = None  # the error may show a piece of the password
        if found is None or "@" in (found.host or ""):
            raise CohortRefused(
                f"{where} cannot be read: it has the form {_FORM}, with %40 for an @ in a password"
            )
        found = found.set(drivername=_DRIVERS.get(found.drivername, found.drivername))
        if found.get_backend_name() == "postgresql":
            found = _for_postgresql(found)
        if found.get_backend_name() == "sqlite":
            if not found.database or found.database == ":memory:" or found.query:
                raise CohortRefused(
                    f"{where}: of SQLite it has the form sqlite:///folder/file.db, and no more"
                )
            found = found.set(database=str(self._sqlite_file(found.database, site)))
        return found

    def _sqlite_file(self, written: str, site: str) -> Path:
        """Returns an SQLite database's file, for SQLite would make one that is not there."""
        file = self.folder / written
        if not file.is_file():
            where = "where the address says"
            if not Path(written).is_absolute():
                where = "beside the site file, from whose folder the address is taken"
            raise refused(
                site,
                "database-not-reached",
                f"there is no SQLite database {file.name!r} {where}",
                "put it there, or mend the address: sqlite:///FILE is taken from the site file's "
                "folder, sqlite:////PATH is absolute",
            )
        return file

    def _text(self, environment: Mapping[str, str], site: str) -> str:
        if self.url is not None:
            return self.url
        if self.url_env is not None:
            text = environment.get(self.url_env, "").strip()
            if not text:
                raise CohortRefused(
                    f"{site}: the environment variable {self.url_env} of data.url_env is not set: "
                    f"set it to the database's address ({_FORM}) where this command is started"
                )
            return text
        return _text_of(Path(self.url_file or ""), site)


def has_secret(url: str) -> bool:
    """Returns whether an address holds a password or a token, or cannot be read at all.

    >>> has_secret("postgresql://anna@db/ward"), has_secret("postgresql://anna:x@db/ward")
    (False, True)
    >>> has_secret("databricks://host/?access_token=x")
    True
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        return True
    names = {name.lower() for name in parsed.query}
    secret = any(word in name for name in names for word in _SECRETS)
    return parsed.password is not None or secret or "@" in (parsed.host or "")


def _text_of(path: Path, site: str) -> str:
    # By its name an address was written here: it is not repeated.
    named = "" if {"@", ":"} & {*path.name} else f" {path.name!r}"
    where = f"{site}: the file{named} of data.url_file"
    found, reason = None, ""
    try:
        with path.open("rb") as opened:
            found = os.fstat(opened.fileno())
            data = opened.read(_MAX_BYTES + 1) if stat.S_ISREG(found.st_mode) else b""
    except OSError as error:
        reason = reason_of(error)
    if found is None:  # told here, where no error is handled that holds the path
        raise CohortRefused(f"{where} cannot be read: {reason}")
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise CohortRefused(
            f"{where} is not for its owner alone: make it the supervisor's own, and chmod 600 it"
        )
    text = data.decode("utf-8", "replace").strip()
    if not text or len(data) > _MAX_BYTES or len(text.split()) > 1:
        raise CohortRefused(f"{where} must hold one line, the database's address: {_FORM}")
    return text


def _for_postgresql(url: URL) -> URL:
    """Returns the address with verified TLS for a distant server, and a limit on connecting."""
    host = url.host or url.query.get("host") or ""
    is_near = not host or str(host).startswith("/") or host in ("localhost", "127.0.0.1", "::1")
    if not is_near and "sslmode" not in url.query and "PGSSLMODE" not in os.environ:
        url = url.update_query_dict({"sslmode": "verify-full"})
    if "connect_timeout" not in url.query:
        url = url.update_query_dict({"connect_timeout": str(_CONNECT_SECONDS)})
    return url


def engine_of(url: URL, *, site: str) -> Engine:
    """Returns SQLAlchemy's engine on an address; nothing is connected yet.

    Raises:
        CohortRefused: no dialect or driver for it is installed; names what to install.
    """
    name = url.get_backend_name()
    options: dict[str, Any] = {"poolclass": NullPool, "hide_parameters": True}
    if name == "sqlite":
        file = Path(str(url.database))
        url = URL.create(
            "sqlite+pysqlite",
            database=f"file:{quote(str(file.resolve()))}",
            query={"mode": "ro", "uri": "true"},
        )
    driver = ""
    try:
        engine = create_engine(url, **options)
    except NoSuchModuleError:
        driver = f"a dialect of SQLAlchemy for {name!r}"
    except ModuleNotFoundError as error:
        missing = str(error.name)
        how = _INSTALLED_BY.get(missing.partition(".")[0], f"pip install {missing}")
        driver = f"the driver {missing!r} ({how})"
    except (ArgumentError, ValueError, TypeError):
        driver = "an address whose parameters the driver knows"
    else:
        if not engine.dialect.is_async:
            return engine
        driver = f"a driver that is not asynchronous, unlike {engine.dialect.driver!r}"
    raise CohortRefused(
        f"site {site}: the database needs {driver}, for addresses that begin with {name}://"
    )
