"""Kits: made of a run that can be repeated, checked, and what is named where something differs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from collegium.cli import main as cli
from collegium.models.publication.kit import KitCheck, KitRequest, check_kit, make_kit
from collegium.models.publication.kit.making import _write_records
from collegium.reports.access_record import record_run_export
from compliance.facts.dossier import DataFile
from protocol.encoding import digest
from protocol.errors import MessageRefused, WorkspaceRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study, read_study_file
from tests.support.simulated.federation import write_hospitals
from tests.support.simulated.finished_run import make_finished
from tests.support.simulated.studies import TABLE_STUDY


def unwatched(*_: object) -> None:
    pytest.fail("nothing is run")


@pytest.fixture(scope="module")
def whole(seeded: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("kits") / "kit"
    asked = KitRequest(to=to, out=seeded / "out", data=seeded / "data")
    make_kit(asked, unwatched, record_run_export(seeded / "out", None))
    return to


@pytest.fixture
def kit(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "kit"))


def _answer(kit: Path, out: Path) -> str:
    return check_kit(KitCheck(kit=kit, against=out), unwatched, lambda _: None).sentence


def test_a_kit_holds_study_records_expectation_and_software(kit: Path) -> None:
    names = {path.name for path in kit.iterdir()}
    assert names == {
        "README.md", "check.py", "expected", "kit.json", "model.safetensors", "records",
        "requirements.lock", "study.yaml", "torch-cpu.lock",
    }  # fmt: skip
    assert read_study_file(kit / "study.yaml").digest == read_study(TABLE_STUDY).digest
    assert {path.name for path in (kit / "records").iterdir()} == {
        "east.csv", "north.csv", "south.csv", "west.csv",
    }  # fmt: skip
    assert "python check.py" in (kit / "README.md").read_text(encoding="utf-8")
    assert "--require-hashes" in (kit / "README.md").read_text(encoding="utf-8")


def test_the_same_study_made_again_elsewhere_is_identical(kit: Path, tmp_path: Path) -> None:
    again = make_finished(tmp_path / "again", read_study(TABLE_STUDY), seed=5)
    assert _answer(kit, again) == "identical"


@pytest.mark.long
def test_a_changed_seed_is_named(kit: Path, tmp_path: Path) -> None:
    other = read_study(TABLE_STUDY.replace("model: 1", "model: 2"))
    again = make_finished(tmp_path / "again", other, seed=5)
    assert _answer(kit, again) == (
        "different: first at training round 1, because the study says seeds.model 2, it was 1"
    )


def test_a_changed_data_file_is_named(kit: Path, tmp_path: Path) -> None:
    def write(folder: Path, study: Study) -> None:
        write_hospitals(folder, study)
        lines = (folder / "south.csv").read_text().splitlines()
        (folder / "south.csv").write_text("\n".join([*lines[:-1], "99.0,A,south-39,1"]) + "\n")

    again = make_finished(tmp_path / "again", read_study(TABLE_STUDY), seed=5, write=write)
    assert _answer(kit, again).startswith(
        "different: first at training round 1, because the data file south.csv is another"
    )


def _course(kit: Path) -> str:
    path = kit / "expected" / "course.json"
    path.write_bytes(path.read_bytes().replace(b"training round 2", b"training round 3"))
    return r"course\.json was changed"


def _model(kit: Path) -> str:
    path = kit / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    return "is not the model of the recorded run"


def _crate(kit: Path) -> str:
    path = kit / "expected" / "ro-crate-metadata.json"
    path.write_bytes(path.read_bytes() + b" ")
    return "another crate than"


def _record(kit: Path) -> str:
    (kit / "kit.json").write_text("{}")
    return "is damaged"


def _redescribed(kit: Path, name: str, data: bytes) -> None:
    """Changes a file of the crate, with every digest that is told of it."""
    described, path = kit / "expected" / "ro-crate-metadata.json", kit / "expected" / name
    before, was = digest(path.read_bytes()), digest(described.read_bytes())
    path.write_bytes(data)
    described.write_text(described.read_text().replace(before, digest(data)))
    told = (kit / "kit.json").read_text().replace(was, digest(described.read_bytes()))
    (kit / "kit.json").write_text(told)


def _run(kit: Path) -> str:
    (kit / "kit.json").write_text((kit / "kit.json").read_text().replace("run-1", "run-2"))
    return "is of another run than"


def _nested(kit: Path) -> str:
    (kit / "kit.json").write_bytes(b"[" * 100_000)
    return "is damaged"


def _no_rounds(kit: Path) -> str:
    course = json.loads((kit / "expected" / "course.json").read_bytes()) | {"rounds": [1]}
    _redescribed(kit, "course.json", json.dumps(course).encode())
    return "tells no rounds"


def test_a_round_that_was_changed_with_every_digest_is_no_rounding(kit: Path, seeded: Path) -> None:
    course = json.loads((kit / "expected" / "course.json").read_bytes())
    course["rounds"][0]["result"] = "0" * 64
    _redescribed(kit, "course.json", json.dumps(course).encode())
    assert _answer(kit, seeded / "out").startswith("different: first at training round 1")


@pytest.mark.parametrize("tamper", [_course, _model, _crate, _record, _run, _nested, _no_rounds])
def test_an_expectation_that_was_changed_is_refused(
    kit: Path, seeded: Path, tamper: Callable[[Path], str]
) -> None:
    said = tamper(kit)
    with pytest.raises(MessageRefused, match=said):
        _answer(kit, seeded / "out")


def test_a_folder_that_is_no_kit_is_refused(tmp_path: Path, seeded: Path) -> None:
    with pytest.raises(WorkspaceRefused, match="it is no kit"):
        _answer(tmp_path, seeded / "out")


def test_options_that_would_be_passed_over_are_refused(kit: Path, seeded: Path) -> None:
    for asked in (KitRequest(to=kit / "new", run="RUN"), KitRequest(to=kit / "new", data=seeded)):
        with pytest.raises(WorkspaceRefused, match="name its folder with --out"):
            make_kit(asked, unwatched)
    both = KitCheck(kit=kit, keep=kit / "new", against=seeded / "out")
    with pytest.raises(WorkspaceRefused, match="nothing is run again with --with"):
        check_kit(both, unwatched, lambda _: None)


def test_a_run_with_secret_noise_makes_no_kit(promised: Path, tmp_path: Path) -> None:
    asked = KitRequest(to=tmp_path / "kit", out=promised, data=promised.parent / "data")
    with pytest.raises(WorkspaceRefused, match="cannot be compared bit by bit"):
        make_kit(asked, unwatched, unwatched)
    assert not (tmp_path / "kit").exists()


def test_records_that_the_run_did_not_read_make_no_kit(seeded: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(seeded / "data", tmp_path / "data"))
    (data / "east.csv").write_text((data / "east.csv").read_text() + "1,A,x,1\n")
    asked = KitRequest(to=tmp_path / "kit", out=seeded / "out", data=data)
    with pytest.raises(WorkspaceRefused, match=r"east\.csv in --data .* is another"):
        make_kit(asked, unwatched, unwatched)


@pytest.mark.parametrize("name", ["../outside.csv", "records/../../outside.csv", "/outside.csv"])
def test_a_manifest_writes_no_file_outside_of_a_kit(tmp_path: Path, name: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "outside.csv").write_bytes(b"x")
    manifest = SimpleNamespace(files=(DataFile(name=name, digest=digest(b"x")),))
    with pytest.raises(WorkspaceRefused, match="the run read no file below --data"):
        _write_records(tmp_path / "kit" / "records", manifest, tmp_path / "data")
    assert not (tmp_path / "kit").exists()


def test_the_commands_make_and_check_a_kit(seeded: Path, tmp_path: Path) -> None:
    where = ["--out", str(seeded / "out"), "--data", str(seeded / "data"), "--json"]
    made = CliRunner().invoke(cli.app, ["kit", "make", "--to", str(tmp_path / "kit"), *where])
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["records"] == ["east.csv", "north.csv", "south.csv", "west.csv"]
    asked = ["kit", "check", str(tmp_path / "kit"), "--with", str(seeded / "out"), "--json"]
    done = CliRunner().invoke(cli.app, asked)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["answer"] == "identical"
    assert "only with itself does the kit agree" in done.stderr
    trusted = CliRunner().invoke(cli.app, [*asked, "--key", json.loads(made.stdout)["key"]])
    assert trusted.exit_code == 0, trusted.output
    assert "only with itself" not in trusted.stderr


def test_a_kit_of_another_log_is_refused_by_the_key_that_is_trusted(
    kit: Path, seeded: Path, tmp_path: Path
) -> None:
    asked = KitCheck(kit=kit, against=seeded / "out", public=bytes(32))
    with pytest.raises(MessageRefused):
        check_kit(asked, unwatched, unwatched)
