"""An export by a person leaves an entry; where people are registered, nobody exports unnamed."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from collegium.reports.access_record import record_export
from collegium.reports.export import export_report
from collegium.reports.request import ReportRequest
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.views.views import open_views
from protocol.encoding import digest
from protocol.errors import PolicyRefused, WorkspaceRefused
from tests.support.hospital.people import BEA, People
from tests.support.simulated.output_folder import RUNS
from tests.unit.collegium.verification.bundle.conftest import Evidence

QUIET = Console(quiet=True)
ASKED = ReportRequest(name=RUNS[0])


@pytest.fixture
def folder(evidence: Evidence, tmp_path: Path) -> Path:
    return Path(shutil.copytree(evidence.folder, tmp_path / "out"))


@pytest.fixture
def people(folder: Path) -> People:
    """The people of the folder, who are registered from now on."""
    store = Store(folder / "collegium.db")
    found = People.over(store, Workspace.open(folder).signing_key())
    found.found()
    store.close()
    return found


def test_an_export_names_the_person_and_the_bytes(folder: Path, people: People) -> None:
    to = folder.parent / "report.html"
    told = export_report(folder, ASKED, "html", to, QUIET, key=people.key(BEA))
    with closing(open_views(folder)) as views:
        (act,) = views.acts(run=RUNS[0])
    assert (act.person, act.action, act.subject) == (BEA, "report.export", RUNS[0])
    assert act.details["sha256"] == digest(to.read_bytes()) == told["sha256"]
    assert told["act"] == act.digest


def test_where_people_are_registered_nothing_is_exported_unnamed(
    folder: Path, people: People
) -> None:
    to = folder.parent / "report.html"
    with pytest.raises(PolicyRefused, match="needs a person here"):
        export_report(folder, ASKED, "html", to, QUIET)
    assert not to.exists()


def test_a_report_is_the_same_before_and_after_its_export_was_logged(
    folder: Path, people: People
) -> None:
    first, second = folder.parent / "1.html", folder.parent / "2.html"
    for to in (first, second):
        export_report(folder, ASKED, "html", to, QUIET, key=people.key(BEA))
    assert first.read_bytes() == second.read_bytes()


def test_without_people_and_on_a_copy_the_export_says_that_it_was_not_logged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = record_export(folder, None, ("run", RUNS[0]), {})
    assert (said.act, said.note[:49]) == (None, "nothing was logged: no person is registered in th")
    (folder / "coordinator.key").unlink()
    assert "this is a copy" in record_export(folder, None, ("run", RUNS[0]), {}).note


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can be written down: no service answers, or the medium cannot be written."""

    def refuse(*_: object) -> None:
        raise WorkspaceRefused("collegium.db cannot be opened: check its permissions")

    monkeypatch.setattr("coordinator.runs.person_acts.perform", refuse)


@pytest.mark.usefixtures("silent")
def test_where_nobody_is_registered_an_export_needs_no_log_and_says_so(folder: Path) -> None:
    said = record_export(folder, None, ("run", RUNS[0]), {})
    assert said.note.startswith("nothing was logged: collegium.db cannot be opened")


def test_where_people_are_registered_what_cannot_be_logged_is_not_exported(
    folder: Path, people: People, silent: None
) -> None:
    to = folder.parent / "report.html"
    with pytest.raises(WorkspaceRefused, match="cannot be opened"):
        export_report(folder, ASKED, "html", to, QUIET, key=people.key(BEA))
    assert not to.exists()
