"""The sweep command with real Ray and torch: modes, references, what is kept and what is shown."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.machine.commands import Done, ask, start
from tests.support.simulated.federation import write_hospitals
from tests.support.simulated.studies import TABLE_STUDY, changed, small_study

MODES = ("--modes", "per_site,distributed,pooled")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study whose hospitals declare enough patients, and their records."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "study.yaml").write_text(TABLE_STUDY.replace("patients: 40", "patients: 60"))
    (folder / "data").mkdir()
    write_hospitals(folder / "data", small_study())
    return folder


def sweep(home: Path, out: str, *options: object) -> Done:
    where = ("--data", home / "data", "--out", home / out, "--processes", 1)
    return start("sweep", home / "study.yaml", *where, *options)


@pytest.fixture(scope="module")
def swept(home: Path) -> tuple[Path, dict[str, Any], str]:
    """One sweep over modes: its folder, its JSON and what it told people."""
    done = sweep(home, "swept", *MODES, "--epsilon", "4", "--seeds", "1-2", "--splits", "--json")
    assert done.returncode == 0, done.stderr
    return home / "swept", json.loads(done.stdout), done.stderr


@pytest.mark.long
def test_one_command_compares_modes_with_a_pooled_reference(
    swept: tuple[Path, dict[str, Any], str],
) -> None:
    out, found, told = swept
    levels = {(level["mode"], level["epsilon"]): level["auroc"] for level in found["levels"]}
    assert set(levels) == {("per_site", 4.0), ("distributed", 4.0), ("pooled", 4.0)}
    assert all((level["over"], level["count"]) == ("splits", 2) for level in levels.values())
    assert found["intervals_over"] == "splits"
    for told_or_drawn in (told, (out / "index.html").read_text()):
        assert "they contain the variance of the split" in " ".join(told_or_drawn.split())
    assert [run["mode"] for run in found["runs"]] == ["per_site"] * 2 + ["distributed"] * 2
    assert "shared noise - per-site noise at ε = 4: " in told
    assert "6 of 6 done" in told


@pytest.mark.long
def test_each_repetition_has_a_split_that_its_own_study_records(
    swept: tuple[Path, dict[str, Any], str],
) -> None:
    out, found, _ = swept
    listed = json.loads(ask("runs", "list", "--out", out, "--json").stdout)
    splits = {line["seed"]: line["split"] for line in listed}
    assert len({(line["seed"], line["split"]) for line in listed}) == 2
    assert splits[1] != splits[2] and small_study().seeds.split not in splits.values()
    tested = {
        run["seed"]: [site["test_patients"] for site in run["sites"].values()]
        for run in found["runs"]
    }
    assert tested[1] != tested[2]
    references = {r["seed"]: r["test_patients"] for r in found["references"]}
    assert references == {seed: sum(patients) for seed, patients in tested.items()}


@pytest.mark.long
def test_references_are_marked_and_charge_no_hospital(
    swept: tuple[Path, dict[str, Any], str],
) -> None:
    out, found, _ = swept
    assert {r["name"] for r in found["references"]} == {"pooled reference (simulation only)"}
    assert {r["epsilon_promised"] for r in found["references"]} == {4.0}
    budgets = json.loads(ask("silo", "budget", "--out", out, "--json").stdout)
    assert "pooled" not in json.dumps(budgets)
    for budget in budgets["hospitals"].values():  # tested on in one split, trained on in another
        lines = budget["partitions"]
        assert lines["training"]["share_spent"] == lines["evaluation"]["share_spent"] > 0
    listed = json.loads(ask("runs", "list", "--out", out, "--json").stdout)
    assert sorted(line["mode"] for line in listed) == sorted(r["mode"] for r in found["runs"])


@pytest.mark.long
def test_what_a_sweep_leaves_behind_verifies_and_can_be_drawn(
    swept: tuple[Path, dict[str, Any], str], tmp_path: Path
) -> None:
    out, _, _ = swept
    verified = json.loads(ask("audit", "verify", "--out", out, "--json").stdout)
    assert (verified["runs"], verified["references"]) == (4, 2)
    drawn = ask("report", "chart", "--to", tmp_path / "chart.svg", "--out", out)
    assert drawn.returncode == 0, drawn.stderr
    for text in ((tmp_path / "chart.svg").read_text(), (out / "index.html").read_text()):
        assert "pooled reference (simulation only)" in text
        assert "shared noise" in text


@pytest.mark.long
def test_the_coordinators_of_a_sweep_with_references_hold_no_torch(
    swept: tuple[Path, dict[str, Any], str],
) -> None:
    out, found, _ = swept
    with closing(sqlite3.connect(out / "collegium.db")) as connection:
        rows = connection.execute("SELECT environment_json FROM run").fetchall()
    held = [json.loads(text)["torch in the coordinator's process"] for (text,) in rows]
    assert held == ["no"] * len(found["runs"])


@pytest.mark.parametrize(
    ("study", "options", "why"),
    [
        (TABLE_STUDY, ("--modes", "pooled"), "name per_site or distributed beside it"),
        (TABLE_STUDY, ("--seeds", "9-1"), "must be a rising range"),
    ],
)
def test_a_refused_sweep_starts_nothing_and_leaves_nothing(
    home: Path, tmp_path: Path, study: str, options: tuple[str, ...], why: str
) -> None:
    (tmp_path / "study.yaml").write_text(study)
    out = tmp_path / "out"
    arguments = ("--epsilon", "4", "--data", home / "data", "--out", out)
    done = ask("sweep", tmp_path / "study.yaml", *arguments, *options)
    assert done.returncode == 2
    assert why in done.stderr
    assert not out.exists()


def test_another_question_is_refused(home: Path, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(changed("hidden_channels: [4]", "hidden_channels: [5]"))
    arguments = ("--epsilon", "4", "--data", home / "data", "--out", tmp_path / "out")
    done = ask("sweep", home / "study.yaml", tmp_path / "other.yaml", *arguments)
    assert done.returncode == 2
    assert "do not ask the same question" in done.stderr
