"""``collegium infer``: records scored by an exported model, held to its snapshot, and logged."""

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from collegium.cli import main as cli
from collegium.models.inference.batch import header_file, score_records
from collegium.models.inference.scoring_place import ModelPlace, ScoringPlace, scoring_place
from protocol.encoding import digest
from protocol.errors import (
    CohortRefused,
    FederationError,
    MessageRefused,
    PolicyRefused,
    QuorumLost,
)
from protocol.vectors.tensors import encode_tensors
from silos.results.inference.query_log import QueryLog
from silos.results.kept_models import read_model
from tests.support.hospital.hospital_home import make_east
from tests.support.hospital.rosters import COORDINATOR_KEY
from tests.support.simulated.exported_model import export
from tests.support.simulated.studies import small_study

ROWS = "age,ward,patient,comment\n50,A,p1,x\n300,B,p2,x\n12,C,p3,x\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "records.csv").write_text(ROWS)
    return export(tmp_path / "model", small_study())


@pytest.fixture
def east(tmp_path: Path) -> Path:
    return make_east(tmp_path)


def asked(*words: object) -> Result:
    return CliRunner().invoke(cli.app, ["infer", *map(str, words)])


def table_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_file_is_scored_line_by_line_with_a_header_beside_it(
    folder: Path, tmp_path: Path
) -> None:
    to = tmp_path / "scores.csv"
    done = asked(folder, tmp_path / "records.csv", "--to", to, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["records"], told["refused"], told["is_logged"]) == (2, 1, False)
    assert "signatures were not checked" in done.stderr and "not logged" in done.stderr
    rows = table_of(to)
    assert [row["line"] for row in rows] == ["2", "3", "4"]
    assert [row["patient"] for row in rows] == ["p1", "p2", "p3"]
    assert 0 < float(rows[0]["risk"]) < 1 and rows[1]["risk"] == "" and rows[2]["fault"] == ""
    assert rows[1]["fault"] == "age: outside the range [0, 120] [outside-range]"
    header = json.loads(header_file(to).read_text())
    assert header["model"] == told["model"] and header["snapshot"] == told["snapshot"]
    assert header["table_sha256"] == digest(to.read_bytes())
    assert header["source_sha256"] == digest(ROWS.encode()) and header["source"] == "records.csv"
    assert to.stat().st_mode & 0o077 == 0
    first = to.read_bytes(), header_file(to).read_bytes()
    assert asked("score", folder, tmp_path / "records.csv", "--to", to).exit_code == 0
    assert (to.read_bytes(), header_file(to).read_bytes()) == first


def test_at_a_hospital_each_batch_is_logged_and_too_many_are_told(
    folder: Path, east: Path, tmp_path: Path
) -> None:
    site = east / "site.yaml"
    site.write_text(site.read_text() + "inference: {records_a_day: 5}\n")
    words = (folder, tmp_path / "records.csv", "--home", east, "--to", tmp_path / "s.csv")
    key = COORDINATOR_KEY.public.hex()
    assert "ALARM" not in asked(*words, "--key", key).stderr
    done = asked(*words, "--key", key)
    assert "ALARM" in done.stderr and "daily-volume" in done.stderr
    assert "the trusted coordinator and 3 of 4 hospitals signed" in done.stderr
    shown = asked("log", "--home", east, "--json")
    entries = json.loads(shown.stdout)["entries"]
    assert [(e["records"], e["refused"], e["alarms"]) for e in entries] == [
        (2, 1, []), (2, 1, ["daily-volume"]),
    ]  # fmt: skip
    assert entries[0]["content"] == entries[1]["content"]
    kept = (east / "inference" / "queries.log").read_text()
    assert "p1" not in kept and "age" not in kept and "records.csv" not in kept
    head = json.loads(shown.stdout)["head"]
    assert asked("log", "--home", east, "--head", head, "--alarms").stdout.count("ALARM") == 1
    refused = asked("log", "--home", east, "--head", "e" * 64)
    assert isinstance(refused.exception, FederationError)


def test_nothing_is_left_behind_where_the_records_do_not_fit(folder: Path, tmp_path: Path) -> None:
    path, to = tmp_path / "other.csv", tmp_path / "scores.csv"
    path.write_text("age,patient\n50,p1\n")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(CohortRefused, match="column 'ward': missing in the file"):
        score_records(scoring_place(ModelPlace(folder=folder)), path, to)
    assert sorted(tmp_path.iterdir()) == before


def test_a_table_is_not_in_place_when_its_line_cannot_be_logged(
    folder: Path, east: Path, tmp_path: Path
) -> None:
    named = ModelPlace(folder=folder, home=east, key=COORDINATOR_KEY.public)
    place = scoring_place(named)
    log = east / "inference" / "queries.log"
    QueryLog(east).entries()
    log.write_bytes(b"spoilt\n")
    to = tmp_path / "scores.csv"
    with pytest.raises(FederationError, match="is no entry"):
        score_records(place, tmp_path / "records.csv", to)
    assert not to.exists() and not list(tmp_path.glob("*.partial"))


def spoilt_model(folder: Path) -> None:
    path = folder / "model.safetensors"
    model = {name: value + 1 for name, value in read_model(path).items()}
    path.write_bytes(encode_tensors(model))


def spoilt_study(folder: Path) -> None:
    path = folder / "study.json"
    path.write_bytes(path.read_bytes().replace(b"[0,120]", b"[0,121]"))


def lost_snapshot(folder: Path) -> None:
    (folder / "snapshot.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (spoilt_model, "other parameters than the signed snapshot names"),
        (spoilt_study, "is not the study that the snapshot names"),
        (lost_snapshot, "is missing"),
    ],
)
def test_nothing_scores_but_what_the_snapshot_names(
    folder: Path, spoil: "object", said: str
) -> None:
    assert callable(spoil)
    spoil(folder)
    with pytest.raises(FederationError, match=said):
        scoring_place(ModelPlace(folder=folder))


def test_with_a_trusted_key_signatures_and_quorum_count(folder: Path, tmp_path: Path) -> None:
    assert "3 of 4" in trusted(folder).model.vouched
    with pytest.raises(MessageRefused, match="not trusted here"):
        scoring_place(ModelPlace(folder=folder, key=bytes(32)))
    few = export(tmp_path / "few", small_study(), signers=2)
    assert scoring_place(ModelPlace(folder=few)).model.digest == trusted(folder).model.digest
    with pytest.raises(QuorumLost, match="2 of 4 hospitals have signed"):
        trusted(few)


def trusted(folder: Path) -> ScoringPlace:
    return scoring_place(ModelPlace(folder=folder, key=COORDINATOR_KEY.public))


@pytest.mark.parametrize(
    "named",
    [
        ModelPlace(),
        ModelPlace(folder=Path("a"), home=Path("b"), run="c"),
        ModelPlace(run="c"),
        ModelPlace(folder=Path("a"), own=True),
    ],
)
def test_exactly_one_model_is_named(named: ModelPlace) -> None:
    with pytest.raises(PolicyRefused, match="name"):
        scoring_place(named)


def test_what_is_named_wrongly_is_refused_with_the_remedy(
    folder: Path, east: Path, tmp_path: Path
) -> None:
    to = ("--to", tmp_path / "s.csv")
    assert "name the model's folder and the records" in str(asked(folder, *to).exception)
    assert "no hospital's folder" in str(asked("log", "--home", tmp_path).exception)
    elsewhere = asked(folder, tmp_path / "records.csv", *to, "--home", tmp_path)
    assert "no hospital's folder" in str(elsewhere.exception)
    kept = asked(tmp_path / "records.csv", *to, "--home", east, "--run", "run-1")
    assert "run-1" in str(kept.exception)


def test_a_token_is_shown_once_and_its_digest_kept(east: Path) -> None:
    done = asked("token", "ward-3", "--home", east)
    token = done.stdout.strip()
    assert len(token) == 43 and token not in (east / "inference" / "tokens").read_text()
