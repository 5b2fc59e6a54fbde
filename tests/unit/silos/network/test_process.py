"""A hospital's process is put together in one place, and reads its site file once per decision."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from pipelines.sources.source import RecordFile
from pipelines.sources.tables.dialect import FileDialect
from protocol.errors import FederationError, PolicyRefused, WorkspaceRefused
from silos.config.directory import is_at_work
from silos.config.study_authorization import StudyAuthorization
from silos.database.database import open_hospital
from silos.network.process import end_process, hospital_process
from silos.operations.site import approve
from tests.support.hospital.consortium_home import ConsortiumHome
from tests.support.hospital.hospital_home import OFFICER, enrol, make_east
from tests.support.hospital.sites import SITE, changed_site
from tests.support.simulated.studies import small_study


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A hospital that has enrolled."""
    home, consortium = make_east(tmp_path), ConsortiumHome(tmp_path / "coordinator")
    enrol(home, consortium)
    consortium.store.close()
    return home


def test_a_process_holds_its_folder_until_it_ends(home: Path) -> None:
    with hospital_process(home) as supervisor:
        assert (supervisor.site, supervisor.url) == ("east", "https://localhost:8443")
        assert is_at_work(home)
        with (
            pytest.raises(WorkspaceRefused, match="a supervisor is at work"),
            hospital_process(home),
        ):
            pass
    assert not is_at_work(home) and (home / "silo.log").exists()


@pytest.mark.parametrize(
    ("site", "test_noise", "said"),
    [
        (SITE, True, "--test-noise protects nobody"),
        (changed_site("coordinator: https://localhost:8443\n", ""), False, "coordinator is miss"),
        (changed_site("data: {kind: file, path: east.csv}\n", ""), False, "data is missing"),
    ],
)
def test_what_is_missing_is_told_before_anything_starts(
    home: Path, site: str, test_noise: bool, said: str
) -> None:
    (home / "site.yaml").write_text(site)
    with pytest.raises(FederationError, match=said), hospital_process(home, test_noise=test_noise):
        pass
    assert not is_at_work(home)


def test_a_hospital_that_has_not_enrolled_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(FederationError, match="enrol"), hospital_process(make_east(tmp_path)):
        pass


@pytest.mark.parametrize("note", [None, '{"state": 1', '{"pid": "x"}', json.dumps({"pid": 1})])
def test_where_nobody_is_at_work_nobody_is_ended(home: Path, note: str | None) -> None:
    if note is not None:
        (home / "status.json").write_text(note)
    assert end_process(home) is False


def test_a_decision_reads_the_site_file_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Policy, records and how they are written are of one version, however it is edited."""
    approve(home, home.parent / "study.yaml", by=OFFICER, reason="", runs=3)
    whole, reads = Path.read_text, []

    def counted(path: Path, *given: object, **named: object) -> str:
        text = whole(path, *given, **named)  # type: ignore[arg-type]
        if path.name == "site.yaml":
            reads.append(text)
            path.write_text(SITE.replace("path: east.csv", "path: west.csv, delimiter: ';'"))
        return text

    with closing(open_hospital(home / "hospital.db", site="east")) as hospital:
        monkeypatch.setattr(Path, "read_text", counted)
        terms = StudyAuthorization(home, hospital)(small_study())
        assert (terms.runs, terms.source) == (3, RecordFile(path=home / "east.csv"))
        terms = StudyAuthorization(home, hospital)(small_study())
    changed = FileDialect(delimiter=";")
    assert terms.source == RecordFile(path=home / "west.csv", dialect=changed)
    assert len(reads) == 2


def test_a_study_that_nobody_approved_has_no_terms(home: Path) -> None:
    with (
        closing(open_hospital(home / "hospital.db", site="east")) as hospital,
        pytest.raises(PolicyRefused, match="approv"),
    ):
        StudyAuthorization(home, hospital)(small_study())
