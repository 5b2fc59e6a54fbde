"""What people who run a consortium copy: units, containers, site files, alerts, commands."""

import configparser
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML

from collegium.cli.main import app
from protocol.study.study_file import read_study_file
from silos.config.policy import refusals
from silos.config.site_file import read_site_file
from tests import ROOT
from tests.support.machine.installed_wheel import PROJECT, needed

HERE = ROOT / "examples" / "consortium"
PAGE = ROOT / "docs" / "operations.md"
PAGES = (
    PAGE,
    PAGE.with_name("governance.md"),
    PAGE.with_name("observability.md"),
    HERE / "README.md",
)
HOSPITALS = ("hospital-a", "hospital-b", "hospital-c")
SERVICES = ("coordinator.service", "silo.service")
UNITS = (*SERVICES, "ray-node.service")
CONTAINERS = ("Containerfile.coordinator", "Containerfile.silo")


def unknown(words: list[str]) -> str | None:
    """What is wrong with the words that follow ``collegium``; None when the command exists."""
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while hasattr(command, "commands"):
        if not rest or rest[0] not in command.commands:
            return f"no such command: {' '.join(words)}"
        command = command.commands[rest.pop(0)]
    options = {flag: option for option in command.params for flag in option.opts}
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    given, plain = set(), 0
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            plain += 1
        elif word not in options:
            return f"{' '.join(words)}: no option {word}"
        else:
            given |= set(options[word].opts)  # by whichever of its names
            rest = rest if options[word].is_flag else rest[1:]
    missing = [flag for flag, o in options.items() if o.required and flag.startswith("--")]
    if not set(missing) <= given:
        return f"{' '.join(words)}: needs {', '.join(sorted(set(missing) - given))}"
    if plain > len(arguments) and all(argument.nargs == 1 for argument in arguments):
        return f"{' '.join(words)}: too many words"
    return None


def quoted(path: Path) -> list[str]:
    """Every command with its words that a page shows, in a block or in a line."""
    text = path.read_text()
    blocks = re.findall(r"^```.*?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    found = [part for line in [*"".join(blocks).splitlines(), *lines] for part in line.split("|")]
    ours = [part.strip() for part in found if re.match(r"\s*collegium [a-z]", part)]
    return [
        words.removeprefix("collegium ")
        for words in (line.split(" > ")[0] for line in ours)
        if len(shlex.split(words)) > 2
    ]


COMMANDS = [(page.name, line) for page in PAGES for line in quoted(page)]


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=[f"{p}: {line}" for p, line in COMMANDS])
def test_every_command_that_operators_are_told_exists_with_its_options(
    page: str, line: str
) -> None:
    assert unknown(shlex.split(line)) is None


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("silo dance --home silo", "no such command"),
        ("silo stop --house silo", "no option --house"),
        ("coordinator revoke hospital-c --home x", "needs --reason"),
        ("silo status now --home silo", "too many words"),
    ],
)
def test_a_command_that_does_not_exist_is_found(line: str, problem: str) -> None:
    assert problem in (unknown(shlex.split(line)) or "")


def unit(name: str) -> configparser.ConfigParser:
    read = configparser.ConfigParser(interpolation=None, strict=True)
    read.optionxform = str  # type: ignore[assignment,method-assign]  # keys keep their case
    read.read_string((HERE / name).read_text())
    return read


@pytest.mark.parametrize("name", SERVICES)
def test_a_unit_starts_a_command_that_exists_over_a_folder_that_it_may_write(name: str) -> None:
    service = unit(name)["Service"]
    program, *words = shlex.split(service["ExecStart"])
    home = words[words.index("--home") + 1]
    assert program == "/opt/collegium/bin/collegium"
    assert unknown(words) is None
    assert service["ReadWritePaths"] == home
    assert unit(name)["Unit"]["ConditionPathExists"].startswith(f"{home}/")


def test_a_node_of_a_ray_cluster_has_a_token_and_comes_back() -> None:
    service = unit("ray-node.service")["Service"]
    given = dict(pair.split("=") for pair in shlex.split(service["Environment"]))
    assert given["RAY_AUTH_MODE"] == "token" and service["Restart"] == "always"
    home = service["ReadWritePaths"]
    assert given["RAY_AUTH_TOKEN_PATH"].startswith(f"{home}/")
    assert service["ExecStart"].startswith("/opt/collegium/bin/ray start --block $RAY_NODE ")


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_runs_as_its_own_user_and_within_bounds(name: str) -> None:
    service = unit(name)["Service"]
    assert service["User"] == "collegium"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    for key in ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome"):
        assert service[key] == "yes", key
    assert {"MemoryMax", "LimitNOFILE", "RestartSec"} <= set(service)


def test_the_kill_switch_of_a_hospital_holds() -> None:
    """``silo stop`` ends the process well, so nothing may start it again."""
    assert unit("silo.service")["Service"]["Restart"] == "on-failure"
    assert services()["hospital-a"]["restart"] == "on-failure"
    assert unit("coordinator.service")["Service"]["Restart"] == "always"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("name", UNITS)
def test_systemd_understands_a_unit(name: str, tmp_path: Path) -> None:
    copy = tmp_path / f"collegium-{name}"
    text = (HERE / name).read_text()
    text = re.sub("/opt/collegium/bin/(collegium|ray)", str(shutil.which("true")), text)
    copy.write_text(re.sub("^(User|Group)=.*$", "", text, flags=re.MULTILINE))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(copy)], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if copy.name in line]
    assert (done.returncode, said) == (0, [])


def services() -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load((HERE / "compose.yaml").read_text())["services"]
    return found


def test_every_container_of_the_trial_is_read_only_without_rights_or_open_ports() -> None:
    assert set(services()) == {"coordinator", *HOSPITALS}
    for name, service in services().items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not {"ports", "environment", "secrets", "privileged"} & set(service), name


def test_every_volume_and_image_of_the_trial_is_there() -> None:
    whole = YAML(typ="safe").load((HERE / "compose.yaml").read_text())
    for name, service in services().items():
        build = service["build"]
        assert (HERE / build["context"] / build["dockerfile"]).is_file(), name
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert source.startswith("./records/") or source in whole["volumes"], volume


def instructions(name: str) -> list[tuple[str, str]]:
    text = (HERE / name).read_text().replace("\\\n", "")
    lines = [line.split(maxsplit=1) for line in text.splitlines()]
    return [(words[0], words[1]) for words in lines if len(words) == 2 and words[0] != "#"]


@pytest.mark.parametrize("name", CONTAINERS)
def test_an_image_starts_a_command_that_exists_as_nobody_special(name: str) -> None:
    lines = dict(instructions(name)[-12:])
    assert lines["USER"] == "10001:10001"
    assert json.loads(lines["ENTRYPOINT"]) == ["collegium"]
    assert unknown(json.loads(lines["CMD"])) is None
    assert lines["VOLUME"] == "/var/lib/collegium"


@pytest.mark.parametrize("name", CONTAINERS)
def test_an_image_takes_every_package_of_ours_and_checks_what_it_fetches(name: str) -> None:
    copied = [
        word for what, words in instructions(name) if what == "COPY" for word in words.split()
    ]
    text = (ROOT / "pyproject.toml").read_text()
    packages = set(
        re.findall(r'"([a-z]+)(?:[.a-z]*)"', text.split("packages = [")[1].split("]")[0])
    )
    licences = {file for file in PROJECT["license-files"] if "/" not in file}
    assert packages | licences | {"pyproject.toml", PROJECT["readme"]} <= set(copied)
    installs = [words for what, words in instructions(name) if what == "RUN" and "pip" in words]
    assert any("--require-hashes" in words for words in installs)


INSTALLERS = ("Makefile", *(f"examples/consortium/{name}" for name in (*CONTAINERS, "README.md")))
LOCKS = ("requirements.lock", "torch-cpu.lock", "torch-cuda.lock")
TOOLS = "requirements-dev.lock"
MACHINES = ("silo", "coordinator")


@pytest.mark.parametrize("name", INSTALLERS)
def test_nothing_is_installed_from_an_index_without_its_hash(name: str) -> None:
    text = (ROOT / name).read_text().replace("\\\n", " ")
    installs = re.findall(r"pip install\b[^\n;&|]*", text)
    assert installs
    for words in installs:
        ours = re.search(r"--no-deps .*--no-build-isolation (-e )?\.", words)
        assert ours or "--require-hashes" in words, words


def locked(name: str) -> dict[str, tuple[str, int]]:
    """The version and the number of hashes of each package in a lock."""
    found: dict[str, tuple[str, int]] = {}
    for entry in re.split(r"\n(?=[a-z0-9])", (ROOT / name).read_text()):
        if match := re.match(r"([a-z0-9.-]+)(?:\[.*\])?==([^ ;\\]+)", entry):
            found[match[1]] = (match[2], entry.count("--hash=sha256:"))
    return found


@pytest.mark.parametrize(
    "name", [*LOCKS, TOOLS, *(f"{HERE}/{machine}.lock" for machine in MACHINES)]
)
def test_every_package_of_a_lock_has_a_hash(name: str) -> None:
    assert [package for package, (_, hashes) in locked(name).items() if not hashes] == []


def test_locks_agree_and_both_builds_of_torch_are_the_same_version() -> None:
    rest, cpu, cuda = map(locked, LOCKS)
    assert cpu["torch"][0] == f"{cuda['torch'][0]}+cpu"
    assert "torch" not in rest and len(cuda) > 15
    assert [name for name in cuda if name in rest and cuda[name][0] != rest[name][0]] == []


def test_what_runs_is_locked_apart_from_the_tools_that_test_it() -> None:
    runs, tools = locked("requirements.lock").keys(), locked(TOOLS).keys()
    extras = tuple({*PROJECT["optional-dependencies"]} - {"dev"})
    assert runs == needed(*extras) - {"torch"} | {"setuptools"}
    assert tools == needed("dev", *extras) - runs - {"torch", "collegium"}


def test_the_health_of_the_coordinators_image_is_a_command_that_exists() -> None:
    (health,) = [words for what, words in instructions(CONTAINERS[0]) if what == "HEALTHCHECK"]
    program, *words = json.loads(health[health.index("[") :])
    assert program == "collegium"
    assert unknown(words) is None


@pytest.mark.parametrize("machine", MACHINES)
def test_a_machines_lock_has_what_its_extra_needs_in_the_versions_that_are_tested(
    machine: str,
) -> None:
    own, all_ = locked(f"{HERE}/{machine}.lock"), locked("requirements.lock")
    assert own.keys() | {"torch"} == needed(machine, "postgres") | {"setuptools", "torch"}
    assert [name for name in own if own[name][0] != all_[name][0]] == []


def test_an_image_installs_the_lock_of_its_machine_alone() -> None:
    for machine, name in zip(("coordinator", "silo"), CONTAINERS, strict=True):
        copied = [words for what, words in instructions(name) if what == "COPY"]
        text = (HERE / name).read_text()
        assert any(f"examples/consortium/{machine}.lock" in words for words in copied)
        assert f"-r {machine}.lock" in text and "requirements.lock" not in text


def test_the_three_hospitals_policies_allow_the_study_and_differ() -> None:
    study = read_study_file(HERE / "study.yaml")
    sites = [read_site_file((HERE / name / "site.yaml").read_text()) for name in HOSPITALS]
    assert study.site_names == HOSPITALS
    for site in sites:
        assert refusals(site.policy, study, site=site.name) == ()
    strict, by_night, careful = sites
    assert strict.policy.epsilon_at_most < by_night.policy.epsilon_at_most
    assert by_night.resources.gpu
    assert by_night.resources.hours
    assert careful.policy.approvals_needed == 2


def test_the_proxy_passes_tls_on_unopened() -> None:
    text = re.sub(r"#.*", "", (HERE / "nginx-stream.conf").read_text())
    assert "ssl_preread on;" in text
    assert "ssl_certificate" not in text
    assert set(re.findall(r"127\.0\.0\.1:(8\d+);", text)) == {"8443", "8444"}


def test_every_file_of_the_folder_is_explained() -> None:
    text = (HERE / "README.md").read_text()
    for path in HERE.rglob("*"):
        if path.is_file() and path.name != "README.md":
            assert f"`{path.relative_to(HERE)}`" in text, path.name
