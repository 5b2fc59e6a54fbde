"""Every tutorial runs as it stands, in a new folder, and prints what it shows."""

import os
import shutil
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from tests import ROOT
from tests.docs.tutorials.page import Step, steps_of
from tests.docs.tutorials.shell import tutorial_shell
from tests.support.simulated.output_folder import make_folder
from tests.support.simulated.preregistered import preregistered

PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
every = pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])


def follow(steps: list[Step], folder: Path, simulated: Path | None = None) -> None:
    """Runs commands in order in a new folder.

    ``simulated`` is a folder of finished runs that takes the place of ``simulate``.

    Raises:
        AssertionError: a command fails, or does not print a line that the page shows.
    """
    port = free_port()
    with tutorial_shell(folder) as shell:
        for step in (each.at_port(port) for each in steps):
            if simulated is not None and step.command.startswith("collegium simulate "):
                shutil.copytree(simulated, folder / "work" / "out")
                continue
            printed, code = shell.run(step.command)
            assert code == 0, f"{step.command}\n{printed}"
            assert not step.missing_from(printed), f"{step.command}\n{printed}"


def free_port() -> int:
    """Returns a port that is free, as is the one after it, on which hospitals enrol."""
    for port in range(20_000 + os.getpid() % 10_000, 60_000, 2):
        with suppress(OSError), socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", port))
            second.bind(("127.0.0.1", port + 1))
            return port
    raise AssertionError("no two ports are free")


@every
def test_the_short_form_of_a_tutorial_runs_as_it_stands(
    page: Path, tmp_path: Path, genuine: Path
) -> None:
    """What trains, serves or draws a PDF is left to the long form."""
    simulated = genuine
    if page.stem == "study-to-paper":
        (tmp_path / "simulated").mkdir()
        simulated = make_folder(tmp_path / "simulated", preregistered())
    follow([step for step in steps_of(page) if not step.is_long], tmp_path, simulated)


@pytest.mark.long
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(step.is_long for step in steps_of(page))]
)
def test_the_whole_tutorial_runs_as_it_stands(page: Path, tmp_path: Path) -> None:
    follow(steps_of(page), tmp_path)


def test_what_a_page_shows_and_a_command_does_not_print_is_found() -> None:
    step = Step(command="true", shown=("made   ...: a study", "gone"), is_long=False)
    assert step.missing_from("made  x.yaml:   a study\n") == ["gone"]
