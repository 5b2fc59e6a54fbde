"""The page's reports over a real folder: the files of ``report export``, and what they lack."""

from contextlib import closing
from pathlib import Path

import pytest
from rich.console import Console

from collegium.reports.export import export_report
from collegium.reports.request import ReportRequest, report_document
from compliance.reports.declarations import declarations_template
from compliance.reports.document import counts_of
from compliance.reports.kinds import KINDS
from compliance.reports.renderers import FORMS, pdf
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from tests import ROOT
from tests.support.hospital.people import People
from tests.support.simulated.folder_page import page_over, rows, words
from tests.support.simulated.output_folder import RUNS, change

RUN = RUNS[1]  # the newest, which the page offers first
EXAMPLE = ROOT / "examples" / "heart-disease" / "consortium.yaml"


def exported(out: Path, to: Path, kind: str, form: str) -> bytes:
    request = ReportRequest(name=RUN, kind=kind)
    export_report(out, request, form, to, Console(quiet=True))
    return to.read_bytes()


@pytest.mark.parametrize("form", FORMS)
def test_a_file_of_the_page_is_what_report_export_writes(
    form: str, genuine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = page_over(genuine, monkeypatch)
    page = shown.look("reports")
    page.selectbox[1].set_value("security-log")
    page.button_group[0].set_value(form)
    shown.again(page)
    [(name, data)] = shown.offered.items()
    assert data == exported(genuine, tmp_path / "report", "security-log", form)
    assert name.startswith(f"collegium-{RUN}-security-log.{form if form != 'oscal' else 'oscal.'}")
    assert f"report export {RUN} --kind security-log --format {form} --to {name}" in words(page)


def test_every_kind_is_counted_and_its_gaps_stand_with_what_to_do(
    genuine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = page_over(genuine, monkeypatch)
    page = shown.look("reports")
    assert page.selectbox[1].value == "privacy-statement"
    for kind in KINDS:
        page.selectbox[1].set_value(kind)
        shown.again(page)
        counts = counts_of(report_document(genuine, ReportRequest(name=RUN, kind=kind)))
        assert [metric.value for metric in page.metric] == [
            str(counts.evidenced), str(counts.declared), str(counts.missing)
        ]  # fmt: skip
        lacking = rows(page, 0)
        assert len(lacking) == counts.missing
        assert all(row["Why"] and row["What to do"] for row in lacking)
        assert KINDS[kind].text.question in words(page)


def test_what_a_consortium_declares_is_in_the_report_at_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = page_over(folder, monkeypatch)
    page = shown.look("reports")
    before = int(page.metric[2].value)
    (folder / "consortium.yaml").write_bytes(EXAMPLE.read_bytes())
    shown.again(page)
    assert int(page.metric[2].value) < before
    [data] = shown.offered.values()
    assert data == exported(folder, tmp_path / "report", "privacy-statement", "pdf")


def test_a_faulty_file_of_declarations_is_a_sentence(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "consortium.yaml").write_text(declarations_template() + "\nnobody: {}\n")
    page = page_over(folder, monkeypatch).look("reports")
    assert "consortium.yaml" in page.error[0].value and "nobody" in page.error[0].value


def test_a_missing_library_is_answered_by_the_command_that_installs_it(
    genuine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf, "find_spec", lambda name: None)
    shown = page_over(genuine, monkeypatch)
    page = shown.look("reports")
    assert "pip install 'collegium[reports]'" in page.warning[0].value.replace("\\", "")
    assert not shown.offered
    page.button_group[0].set_value("html")
    shown.again(page)
    assert len(shown.offered) == 1 and not page.warning


def test_records_that_were_changed_put_a_watermark_before_the_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(folder, "UPDATE run SET seed = 9 WHERE id = 'run-2'")
    page = page_over(folder, monkeypatch).look("reports")
    assert [one.value.startswith("**NOT VERIFIED") for one in page.error] == [True]


def test_where_people_are_registered_an_export_is_left_to_the_command_that_knows_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace.open(folder)
    with closing(Store(workspace.database)) as store:
        People.over(store, workspace.signing_key()).found()
    shown = page_over(folder, monkeypatch)
    page = shown.look("reports")
    assert not shown.offered
    assert "an export is recorded as a person's act" in words(page)
    assert page.code[0].value.endswith("--out FOLDER --as KEY")
