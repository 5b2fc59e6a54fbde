"""The built wheel, in clean environments: what each extra brings, and what a command says without.

Nothing is mocked: pip builds and installs the wheel, and its own ``collegium`` runs. What the
wheel needs is linked from the environment of the tests, without a network.
"""

import ast
import importlib.metadata
import json
import shutil
import signal
import sys
import zipfile
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.structure.floors import ROOMS, ROOT
from tests.support.machine.installed_wheel import (
    PROJECT,
    Done,
    Environment,
    build_wheel,
    install,
    needed,
    source_files,
)
from tests.support.simulated.output_folder import RUNS

#: What could train, and what draws the dashboard: none of it has a place at the coordinator.
HEAVY = {"torch", "ray", "monai", "opacus", "scikit-learn", "pandas", "streamlit"}
STUDY = ROOT / "examples" / "consortium" / "study.yaml"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return install(wheel, tmp_path_factory.mktemp("bare"))


@pytest.fixture(scope="module")
def coordinator(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return install(wheel, tmp_path_factory.mktemp("coordinator"), "coordinator")


def test_the_wheel_holds_every_file_of_the_rooms_and_nothing_else(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == source_files()
    assert {name.split("/")[0] for name in names} == set(ROOMS)
    for kept in (
        "dashboard/.streamlit/config.toml",
        "compliance/reports/renderers/templates/document.html",
        "collegium/py.typed",
    ):
        assert kept in names
    assert any("/migrations/versions/" in name for name in names)
    assert not [name for name in names if "test" in Path(name).name.split("_")]


def test_the_wheel_names_its_extras_and_its_licence(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    inside = {name.split(".dist-info/")[-1]: name for name in archive.namelist()}
    metadata = archive.read(inside["METADATA"]).decode()
    extras = {line.split(": ")[1] for line in metadata.splitlines() if "Provides-Extra" in line}
    machines = {"silo", "coordinator", "dashboard", "postgres"}
    services = {"oidc", "reports", "telemetry", "mlflow", "weights", "exports"}
    assert extras == machines | services | {"dev"}
    assert {f"licenses/{name}" for name in PROJECT["license-files"]} <= inside.keys()


def test_the_coordinators_extra_brings_nothing_that_could_train() -> None:
    assert not needed("coordinator", "postgres") & HEAVY
    assert needed("silo") >= HEAVY - {"streamlit"}


@pytest.mark.parametrize(
    ("room", "extras", "elsewhere"),
    [
        ("protocol", (), set()),
        # A witness that is served has the coordinator's extra.
        ("compliance", ("reports", "weights"), {"starlette", "uvicorn"}),
        ("pipelines", ("silo",), set()),
        ("silos", ("silo",), set()),
        ("coordinator", ("coordinator",), {"ray"}),  # of a simulation, which has it
        ("dashboard", ("dashboard", "oidc"), set()),
        (
            "collegium",
            (
                "silo",
                "coordinator",
                "dashboard",
                "oidc",
                "reports",
                "telemetry",
                "mlflow",
                "exports",
            ),
            {"IPython"},  # a notebook has it
        ),
    ],
)
def test_a_room_imports_only_what_its_extra_brings(
    room: str, extras: tuple[str, ...], elsewhere: set[str]
) -> None:
    brought = needed(*extras)
    missing = {
        name
        for path in (ROOT / room).rglob("*.py")
        for name in imported(path) - {*ROOMS, *sys.stdlib_module_names}
        if not owners().get(name, set()) & brought
    }
    assert missing == elsewhere


@cache
def owners() -> dict[str, set[str]]:
    """The distributions that hold each top-level module."""
    found = importlib.metadata.packages_distributions()
    return {name: {*map(canonicalize_name, names)} for name, names in found.items()}


def imported(path: Path) -> set[str]:
    """The top-level modules that a file imports, wherever in it that stands."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    return {name.split(".")[0] for name in names}


IMPORT_ALL = """
import importlib, pkgutil, sys
for room in sys.argv[1:]:
    for found in pkgutil.walk_packages(importlib.import_module(room).__path__, f"{room}."):
        if "migrations" not in found.name:
            importlib.import_module(found.name)
print(sys.modules["protocol"].__file__)
"""


@pytest.mark.long
def test_what_reads_and_checks_is_importable_without_any_extra(bare: Environment) -> None:
    done = bare.python("-W", "error", "-c", IMPORT_ALL, "protocol", "compliance")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(bare.root))


@pytest.mark.long
def test_the_coordinator_is_importable_with_its_extra(coordinator: Environment) -> None:
    done = coordinator.python("-W", "error", "-c", IMPORT_ALL, "coordinator")
    assert done.returncode == 0, done.stderr


def test_a_bare_installation_checks_a_study(bare: Environment) -> None:
    done = bare.collegium("study", "check", STUDY, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sites"] == ["hospital-a", "hospital-b", "hospital-c"]


@pytest.mark.long
def test_a_bare_installation_verifies_a_log_and_writes_reports_and_a_crate(
    bare: Environment, folder: Path
) -> None:
    assert RUNS[0] in bare.collegium("runs", "list", "--out", folder).stdout
    page, chart = folder / "report.html", folder / "utility.svg"
    for words in (
        ("report", "export", RUNS[0], "--to", page, "--out", folder),
        ("report", "chart", "--to", chart, "--out", folder),
        ("runs", "crate", RUNS[0], "--to", folder / "crate", "--out", folder),
    ):
        done = bare.collegium(*words)
        assert done.returncode == 0, done.stderr
    assert "<svg" in page.read_text(encoding="utf-8")
    assert "<svg" in chart.read_text(encoding="utf-8")
    verified = bare.collegium("audit", "verify", "--out", folder, "--report", page, "--json")
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)["verified"] is True


def test_a_bare_installation_reads_who_may_open_encrypted_models(
    bare: Environment, folder: Path
) -> None:
    done = bare.collegium("weights", "list", "--out", folder, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("words", [("models", "verify"), ("runs", "verify-crate")])
def test_a_bare_installation_verifies_exports_and_crates(
    bare: Environment, words: tuple[str, str]
) -> None:
    done = bare.collegium(*words, "nowhere", "--key", "0" * 64)
    assert (done.returncode, done.stderr) == (2, "collegium: nowhere is no folder\n")


def told_to_install(done: Done) -> str:
    """What a command that lacks its extra says to install: one line, nothing on stdout."""
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("collegium: this needs ")
    return line.split(": pip install ")[1]


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (["silo", "init", "--home", "new", "--site", "lyon"], "silo"),
        (["silo", "roster", "show", "--home", "new"], "silo"),
        (["simulate", STUDY, "--out", "new"], "silo"),
        (["demo", "--out", "new"], "silo"),
        (["coordinator", "init", "--home", "new", "--host", "localhost"], "coordinator"),
        (["coordinator", "start", "--home", "new"], "coordinator"),
        (["dashboard", "--out", "new"], "dashboard"),
        (["runs", "export-mlflow", "--all", "--out", "new", "--to", "new"], "mlflow"),
    ],
)
def test_a_command_without_its_extra_says_which_to_install_and_does_nothing(
    bare: Environment, words: list[object], extra: str
) -> None:
    assert told_to_install(bare.collegium(*words)) == f"'collegium[{extra}]'"
    assert not (bare.work / "new").exists()


@pytest.mark.long
def test_a_coordinators_machine_is_no_hospital(coordinator: Environment) -> None:
    told = told_to_install(coordinator.collegium("silo", "start", "--home", "new"))
    assert told == "'collegium[silo]'"
    demo = ("network-demo", STUDY, "--data", ".", "--out", "new")
    told = told_to_install(coordinator.collegium(*demo))
    assert told == "'collegium[silo]'"


@pytest.mark.parametrize("words", [[], ["silo"], ["silo", "start"], ["coordinator", "start"]])
def test_help_needs_no_extra(bare: Environment, words: list[str]) -> None:
    done = bare.collegium(*words, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage: collegium" in done.stdout


@pytest.mark.long
def test_a_network_that_must_be_built_is_planned_with_the_extra_only(
    bare: Environment,
) -> None:
    images = ROOT / "examples" / "pneumonia" / "study.yaml"
    assert told_to_install(bare.collegium("study", "plan", images)) == "'collegium[silo]'"


@pytest.mark.long
def test_the_bundled_table_is_read_with_the_extra_only(bare: Environment) -> None:
    bundled = ROOT / "collegium" / "studies" / "breast-cancer.yaml"
    done = bare.collegium("study", "check", bundled, "--data", bare.work)
    assert done.returncode == 2
    assert "pip install 'collegium[silo]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.long
def test_a_coordinator_serves_from_its_extra_alone(coordinator: Environment) -> None:
    home = coordinator.work / "home"
    made = coordinator.collegium("coordinator", "init", "--home", home, "--host", "127.0.0.1")
    assert made.returncode == 0, made.stderr
    registered = coordinator.collegium("study", "register", STUDY, "--home", home)
    assert registered.returncode == 0, registered.stderr
    words = ("start", "--home", home, "--host", "127.0.0.1", "--port", "0", "--metrics-port", "0")
    with coordinator.serving("coordinator", *words) as service:
        try:
            assert service.stderr is not None
            told = [next(line for line in service.stderr if line.startswith("serving"))]
            status = coordinator.collegium("coordinator", "status", "--home", home, "--json")
            service.send_signal(signal.SIGTERM)
            told += service.stderr
            code = service.wait()
        finally:
            service.kill()
    assert status.returncode == 0, status.stderr
    assert json.loads(status.stdout)["runs"] == []
    assert (code, told[-1]) == (0, "ended\n"), told
    verified = coordinator.collegium("audit", "verify", "--out", home)
    assert verified.returncode == 0, verified.stderr


def test_one_package_less_and_the_coordinator_says_what_it_lacks(
    coordinator: Environment, tmp_path: Path
) -> None:
    """What is missing is found by the package's own metadata, not by a list of ours."""
    root = tmp_path / "venv"
    shutil.copytree(coordinator.root, root, symlinks=True)
    (packages,) = root.glob("lib/python*/site-packages")
    for entry in packages.glob("uvicorn*"):
        entry.unlink()
    fewer = Environment(root=root, work=tmp_path)
    done = fewer.python("-m", "collegium", "coordinator", "init", "--home", "a", "--host", "b")
    assert done.stderr == (
        "collegium: this needs uvicorn, not installed here: pip install 'collegium[coordinator]'\n"
    )
    assert done.returncode == 2


def test_the_developers_extra_brings_all_others() -> None:
    everything = Requirement(PROJECT["optional-dependencies"]["dev"][0])
    assert everything.name == "collegium"
    assert everything.extras == {*PROJECT["optional-dependencies"]} - {"dev"}
