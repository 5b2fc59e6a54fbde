"""The real command with real Ray and torch, and a run of real hospitals on a network."""

import json
import shutil
from pathlib import Path

import pytest

from tests.support.machine.commands import ask, start
from tests.support.networked.network import Network
from tests.support.simulated.federation import write_hospitals
from tests.support.simulated.studies import changed, small_study

PROMISED = "{mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}"


def test_a_simulation_is_run_again_in_processes_of_its_own_bit_by_bit(tmp_path: Path) -> None:
    """Half of the patients are drawn in a step: who they are follows from the kept seed."""
    (tmp_path / "study.yaml").write_text(
        changed(PROMISED, "{mode: none, sampling_rate: 0.5}"), encoding="utf-8"
    )
    (tmp_path / "data").mkdir()
    write_hospitals(tmp_path / "data", small_study())
    where = ("--data", tmp_path / "data", "--out", tmp_path / "out")
    done = start("simulate", tmp_path / "study.yaml", *where, "--processes", 1, "--json")
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    manifest = run["reproduction"]["manifest"]
    assert run["reproduction"]["how"] == "repeated"
    assert [file["name"] for file in manifest["files"]] == [
        "east.csv", "north.csv", "south.csv", "west.csv",
    ]  # fmt: skip
    assert manifest["sites"]["east"]["engine"] == "chain"
    again = start("reproduce", run["run_id"], *where, "--keep", tmp_path / "again", "--json")
    assert again.returncode == 0, again.stderr
    found = json.loads(again.stdout)
    assert found["answer"] == "identical"
    assert found["model_digest"] == found["model_digest_again"] == run["model_digest"]
    assert found["differences"] == []
    assert again.stderr.startswith(f"run {run['run_id']}: a simulation whose draws follow from")
    assert (tmp_path / "again" / "collegium.db").is_file()


@pytest.fixture
def network(run_once: tuple[Network, str], tmp_path: Path) -> tuple[Path, str]:
    """A copy of the coordinator's folder after a run of real hospitals, and the run."""
    copy = shutil.copytree(run_once[0].home, tmp_path / "copy", ignore=_sockets)
    return Path(copy), run_once[1]


def _sockets(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if (Path(folder) / name).is_socket()]


def test_a_run_of_real_hospitals_is_computed_again_from_their_masked_vectors(
    network: tuple[Path, str],
) -> None:
    folder, run = network
    done = ask("reproduce", run, "--out", folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("identical\ncompared      the sums of ")
    assert "real hospitals made it" in done.stderr


def test_a_tampered_archive_of_a_real_run_is_answered_as_different(
    network: tuple[Path, str],
) -> None:
    folder, run = network
    vector = next((folder / "rounds").glob("*/*.vector"))
    vector.write_bytes(vector.read_bytes()[::-1])
    done = ask("reproduce", run, "--out", folder, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["answer"]) == (1, "different")
    assert "was changed" in found["because"]
