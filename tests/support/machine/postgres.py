"""A PostgreSQL server for tests: in a temporary folder, on a socket nobody else can reach.

Over whatever ``initdb`` and ``postgres`` the machine has; they refuse to run as
root, so as root they run as ``postgres`` or ``nobody``. Each pytest process has
a server of its own, started when first asked for. Without binaries the tests are
skipped with the reason, or fail when COLLEGIUM_REQUIRE_POSTGRES is set
(``make test-pg``).
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from tests.support.machine.patience import PATIENCE

#: One role enters by password; every other by the socket, which lies in a private folder.
_WHO_MAY_ENTER = "local all guarded scram-sha-256\nlocal all all trust\n"


class Server:
    """A running server; ``stop``, ``crash`` and ``start`` are for the tests of chaos."""

    def __init__(self, programs: Path, account: str | None) -> None:
        self._programs, self._account = programs, account
        self.folder = Path(tempfile.mkdtemp(prefix="collegium-pg-"))
        if account is not None:
            shutil.chown(self.folder, account)
        self._data = self.folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._names = count()
        self._run("initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                  "--locale=C", "--no-instructions")  # fmt: skip
        (self._data / "pg_hba.conf").write_text(_WHO_MAY_ENTER)
        self.start()

    def start(self, *settings: str) -> None:
        """Starts the server and waits until it answers."""
        given = [word for setting in settings for word in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, "-k", self.folder,
                 "-c", "listen_addresses=", "-c", "shared_buffers=16MB", *given],
                user=self._account, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self.folder,
            )  # fmt: skip
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return self.connect().close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError((self.folder / "log").read_text()[-2000:]) from None
                time.sleep(0.05)

    def stop(self) -> None:
        """Ends every connection and the server (a fast shutdown)."""
        self._end(signal.SIGINT)

    def crash(self) -> None:
        """Ends the server without writing anything down: it recovers when started again."""
        self._end(signal.SIGQUIT)

    def close(self) -> None:
        """Ends the server and removes its folder."""
        self.crash()
        shutil.rmtree(self.folder)

    def new_database(self) -> str:
        """Makes an empty database; returns its address."""
        name = f"test{next(self._names)}"
        with self.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.address(name)

    def new_schema(self) -> str:
        """Makes an empty schema, much sooner than a database; returns its address."""
        name = f"test{next(self._names)}"
        with self.connect() as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return f"{self.address('postgres')}&options=-csearch_path%3D{name}"

    def address(self, name: str, user: str = "postgres", folder: Path | None = None) -> str:
        """Returns the address of a database, by way of the socket in a folder."""
        return f"postgresql://{user}@/{name}?host={folder or self.folder}"

    def connect(self, name: str = "postgres") -> "psycopg.Connection[tuple[object, ...]]":
        """Returns the superuser's own connection, which commits each statement at once."""
        return psycopg.connect(host=str(self.folder), user="postgres", dbname=name, autocommit=True)

    def dump(self, name: str) -> bytes:
        """Returns a backup of a database."""
        return self._run("pg_dump", "-h", self.folder, "-U", "postgres", "-Fc", name)

    def restore(self, dump: bytes) -> str:
        """Restores a backup into a new database; returns its address."""
        address = self.new_database()
        name = address.split("@/")[1].split("?")[0]
        self._run("pg_restore", "-h", self.folder, "-U", "postgres", "-d", name, given=dump)
        return address

    def _run(self, program: str, *words: object, given: bytes = b"") -> bytes:
        done = subprocess.run(
            [self._programs / program, *map(str, words)], user=self._account, input=given,
            capture_output=True, cwd=self.folder, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr.decode()[-2000:]}")
        return done.stdout

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE)
            self._process = None


def programs() -> Path | None:
    """Returns the folder of the newest PostgreSQL programs of this machine."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    found.sort(key=lambda folder: int(folder.parent.name))
    named = shutil.which("initdb")
    return found[-1] if found else Path(named).resolve().parent if named else None


def started_server() -> Iterator[Server]:
    """Yields a server; skips the test on a machine that has none."""
    folder = programs()
    if folder is None:
        missing = "no PostgreSQL on this machine: make postgres installs it"
        if os.environ.get("COLLEGIUM_REQUIRE_POSTGRES"):
            pytest.fail(missing)
        pytest.skip(missing)
    server = Server(folder, _account())
    yield server
    server.close()


def _account() -> str | None:
    """Returns whom the server runs as; None for the user of the tests."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
