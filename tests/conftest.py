"""Settings and fixtures that every test shares."""

import functools
import gc
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy
import typer.testing
from hypothesis import settings

from compliance.storage.engines import sqlite

if TYPE_CHECKING:
    from tests.support.machine.postgres import Server
    from tests.support.networked.network import Network

# A test says what must hold, never how fast: speed is `make bench`'s matter.
# `make long` tries more examples.
settings.register_profile("collegium", deadline=None, max_examples=25)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile("collegium")


#: Where Linux keeps files in memory; and how many bytes the tests' files may take.
MEMORY, ENOUGH = Path("/dev/shm"), 4 << 30  # noqa: S108


def pytest_configure() -> None:
    """Keeps the tests' files in memory where there is room: databases wait for their disk."""
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ENOUGH:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.fixture(scope="session", autouse=True)
def commands_built_once() -> Iterator[None]:
    """Lets Typer build the tree of commands once, and not each time that a test gives one."""
    built = functools.cache(typer.main.get_command)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(typer.main, "get_command", built)
        patch.setattr(typer.testing, "_get_command", built)
        yield


@pytest.fixture(scope="session", autouse=True)
def statements_compiled_once() -> Iterator[None]:
    """Lets all engines of SQLite files share the statements that one of them has compiled.

    A process has one such engine, a test run thousands, and compiling anew took a quarter of it.
    """
    first = sqlalchemy.create_engine("sqlite://", query_cache_size=10_000)  # none is let go
    with first.connect():  # what its dialect asks of the library, it has asked then
        pass

    def sharing(*given: Any, **options: Any) -> sqlalchemy.Engine:
        engine = sqlalchemy.create_engine(*given, **options)
        engine.dialect, engine._compiled_cache = first.dialect, first._compiled_cache
        return engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite, "create_engine", sharing)
        yield


@pytest.fixture(scope="session")
def postgres() -> "Iterator[Server]":
    """A PostgreSQL server of this process's own; without one the test is skipped."""
    from tests.support.machine.postgres import started_server

    yield from started_server()


@pytest.fixture(scope="session")
def genuine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with two finished runs; a test changes a copy of it (``folder``)."""
    from tests.support.simulated.output_folder import make_folder

    return make_folder(tmp_path_factory.mktemp("genuine"))


@pytest.fixture(scope="session")
def run_once(tmp_path_factory: pytest.TempPathFactory) -> "tuple[Network, str]":
    """A network on which one approved run has finished, and the run; tests change copies."""
    from tests.support.networked.finished_network import finish_a_run

    return finish_a_run(tmp_path_factory.mktemp("network"))


@pytest.fixture
def folder(genuine: Path, tmp_path: Path) -> Path:
    """A copy of a genuine output folder."""
    return Path(shutil.copytree(genuine, tmp_path / "copy"))


@pytest.fixture(params=["sqlite", "postgresql"])
def place_of(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Path | str]:
    """Names a database of either kind: the same name is the same database."""
    if request.param == "sqlite":
        return lambda name: tmp_path / f"{name}.db"
    server: Server = request.getfixturevalue("postgres")
    addresses: dict[str, str] = {}

    def address(name: str) -> str:
        if name not in addresses:
            addresses[name] = server.new_schema()
        return addresses[name]

    return address


#: The files that take longest begin first: one that a worker took last would keep it alone.
LONGEST = (
    "simulation/test_simulation.py", "redteam/test_redteam.py", "redteam/test_redteam_run.py",
    "worker_pool/test_backend.py", "isolation/test_confinement.py", "preflight/test_checks.py",
    "audit/test_tamperings.py", "simulation/test_sweep_command.py", "network/test_network.py",
    "chaos/test_chaos.py", "package/test_wheel.py", "docs/test_tutorial.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest files first, and marks every test that needs a PostgreSQL server.

    What SQLite shows quickly is shown on PostgreSQL by make test-pg; make test runs what is about
    PostgreSQL itself (``tests/system/postgres``).
    """
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONGEST))
    for item in items:
        if "postgres" in getattr(item, "fixturenames", ()) or "postgresql" in item.name:
            item.add_marker(pytest.mark.postgres)
            if "postgresql" in item.name and "system/postgres" not in item.path.as_posix():
                item.add_marker(pytest.mark.long)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Lets the garbage collector rest meanwhile: nothing that is imported is garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish() -> None:
    """Lets the garbage collector work less often, and not on what is imported."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
