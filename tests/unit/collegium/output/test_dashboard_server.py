"""The dashboard's process: it imports the software, whatever lies in the working folder."""

import os
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from collegium.output.dashboard_server import open_dashboard
from compliance.facts.comparison.baselines import BASELINES_FILE


class Started(Exception):
    """The command that would have replaced this process."""

    def __init__(self, command: list[str]) -> None:
        self.command = command


def test_a_coordinators_folder_in_the_working_folder_is_not_taken_for_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / BASELINES_FILE).touch()
    (tmp_path / "coordinator" / "rounds").mkdir(parents=True)

    def stop(file: str, command: list[str], environment: object) -> None:
        raise Started(command)

    monkeypatch.setattr(os, "execvpe", stop)
    with pytest.raises(Started) as started:
        open_dashboard(tmp_path, 18599, Console(quiet=True))
    before_module = started.value.command[: started.value.command.index("-m")]
    given = [*before_module, "-c", "import coordinator.rounds.attempts"]
    subprocess.run(given, cwd=tmp_path, check=True)
