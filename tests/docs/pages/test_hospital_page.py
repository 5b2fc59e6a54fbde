"""The hospital's page shows what its commands really print."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from collegium.cli import main as cli
from silos.config.site_file import Policy, read_site_file
from silos.training import ray_runtime
from tests import ROOT

PAGE = (ROOT / "docs" / "hospital.md").read_text()
HEART = ROOT / "examples" / "heart-disease"
RECORDS = ROOT / "collegium" / "studies" / "heart_disease" / "processed.cleveland.data"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def sessions() -> list[tuple[str, list[str]]]:
    """Every command that the page shows with its output, and the lines that it shows."""
    found: list[tuple[str, list[str]]] = []
    for line in "".join(blocks("console")).splitlines():
        if line.startswith("$ collegium "):
            found.append((line.removeprefix("$ collegium "), []))
        else:
            found[-1][1].append(line)
    return found


def words(line: str) -> str:
    """A line without what a table's width adds."""
    return " ".join(line.split())


def test_every_command_of_the_page_prints_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("study.yaml", "split.csv"):
        (tmp_path / name).write_bytes((HEART / name).read_bytes())
    (tmp_path / RECORDS.name).symlink_to(RECORDS)
    monkeypatch.chdir(tmp_path)
    (site,) = blocks("yaml")
    for command, shown in sessions():
        monkeypatch.setattr(sys, "argv", ["collegium", *shlex.split(command)])
        with pytest.raises(SystemExit):
            cli.main()
        said = capsys.readouterr()
        printed = {words(line) for line in (said.out + said.err).splitlines()}
        for line in shown:
            assert words(line) in printed, f"{command} does not print: {line}"
        if command.startswith("silo init"):
            (tmp_path / "cleveland" / "site.yaml").write_text(site)


def test_the_site_file_of_the_page_can_be_read() -> None:
    (site,) = blocks("yaml")
    assert read_site_file(site).name == "cleveland"


def test_every_key_of_a_policy_stands_on_the_page() -> None:
    for key in Policy.model_fields:
        assert f"`{key}`" in PAGE, key


def test_every_line_of_the_preflight_stands_on_the_page() -> None:
    code = "".join(
        (ROOT / "silos" / "preflight" / name).read_text()
        for name in ("checks.py", "connectivity.py")
    )
    names = set(re.findall(r'(?:ok|bad|warn|_failed)\(\s*"([a-zA-Z ]+)"', code))
    for name in names - {"patients", "policy", "hours", "budget", "approval", "coordinator"}:
        assert f"`{name}`" in PAGE, name


def test_what_starts_a_ray_node_knows_its_options_and_opens_the_ports_of_the_page() -> None:
    from ray.scripts.scripts import start, status  # behind ray_runtime, which closes Ray

    known = {flag for option in start.params for flag in option.opts}
    unit = (ROOT / "examples" / "consortium" / "ray-node.service").read_text()
    found = []
    for text in (PAGE.partition("## On a Ray cluster")[2].partition("\n## ")[0], unit):
        lines = re.findall(r".*(?:PORTS=|ray start|RAY_NODE=|-port=).*", text)
        flags = set(re.findall(r"--[a-z-]+", " ".join(lines)))
        assert flags and flags <= known | {"--block"}, flags - known
        found.append(dict(re.findall(r"(--[a-z-]*port)=(\d+)", text)))
    assert found[0] == found[1] and len(found[0]) == 6
    assert "--address" in {flag for option in status.params for flag in option.opts}
    assert "| the first node | 6379 to 6382, 10002 to 10100 |" in PAGE
    lowest = min(ray_runtime._free_ports(3))
    assert lowest >= 20_000 and "| this machine | 20000 to 60999" in PAGE
