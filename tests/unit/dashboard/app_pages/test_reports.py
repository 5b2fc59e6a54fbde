"""The page's reports over a real folder: the files of ``report export``, and what they lack."""

from contextlib import closing
from html import unescape
from pathlib import Path

import pytest
from rich.console import Console

from collegium.reports.export import export_report
from collegium.reports.person_signature import sign_as_person
from collegium.reports.request import ReportRequest, report_document
from collegium.reports.verifying import verify_report
from compliance.reports.declarations import declarations_template
from compliance.reports.document import counts_of
from compliance.reports.kinds import KINDS
from compliance.reports.renderers import FORMS, pdf
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.views.views import open_views
from dashboard.app_pages.reports.preview import framed
from protocol.encoding import digest
from protocol.errors import StoreBroken
from tests import ROOT
from tests.support.hospital.people import BEA, CLEO, People
from tests.support.hospital.person_viewer import CODE, PersonViewer
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
    page.selectbox(key="report").set_value("security-log")
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
    assert page.selectbox(key="report").value == "privacy-statement"
    for kind in KINDS:
        page.selectbox(key="report").set_value(kind)
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
    folder: Path, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = page_over(folder, monkeypatch)
    page = shown.look("reports")
    assert not shown.offered
    assert "an export is recorded as a person's act" in words(page)
    assert page.code[0].value.endswith("--out FOLDER --as KEY")


@pytest.mark.parametrize(
    ("scope", "name"),
    [("study", "small"), ("sweep", "sweep-9"), ("hospital", "east"), ("period", "2026-11")],
)
def test_a_report_about_several_runs_is_what_the_command_writes(
    scope: str, name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(folder, "UPDATE run SET sweep = 'sweep-9', started_at = '2026-11-05T08:00:00.000Z'")
    shown = page_over(folder, monkeypatch)
    page = shown.look("reports")
    page.selectbox(key="scope").set_value(scope)
    shown.again(page)
    page.selectbox(key=f"report of {scope}").set_value(name)
    page.button_group[0].set_value("json")
    shown.again(page)
    to = tmp_path / "report.json"
    request = ReportRequest(name=name, scope=scope)
    with pytest.raises(StoreBroken, match="watermark"):  # the row was changed, and both say so
        export_report(folder, request, "json", to, Console(quiet=True))
    [data] = shown.offered.values()
    assert data == to.read_bytes() and page.error[0].value.startswith("**NOT VERIFIED")


def test_an_export_is_logged_under_the_persons_name_before_the_bytes_are_offered(
    folder: Path, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = PersonViewer(folder, BEA, people.key(BEA))
    shown = page_over(folder, monkeypatch, viewer)
    page = shown.look("reports")
    page.button_group[0].set_value("html")
    shown.again(page)
    assert not shown.offered
    shown.press(page, "Export as HTML")
    [(name, data)] = shown.offered.items()
    with closing(open_views(folder)) as views:
        act = views.acts(person=BEA)[-1]
    assert (act.action, act.subject, act.run) == ("report.export", RUN, RUN)
    assert act.details == {
        "format": "html", "kind": "privacy-statement", "run": RUN, "sha256": digest(data)
    }  # fmt: skip
    assert name.endswith(".html") and digest(data) in words(page)


def test_an_export_that_is_refused_offers_nothing(
    folder: Path, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = PersonViewer(folder, BEA, people.key(CLEO))  # a key that is not hers
    shown = page_over(folder, monkeypatch, viewer)
    page = shown.look("reports")
    page.button_group[0].set_value("html")
    shown.again(page)
    (folder / "coordinator.key").unlink()  # nothing can be logged
    shown.press(page, "Export as HTML")
    assert page.error and not shown.offered


def test_a_signature_of_the_page_is_verified_as_that_of_the_registered_person(
    folder: Path, people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = PersonViewer(folder, BEA, people.key(BEA), sign=sign_as_person)
    shown = page_over(folder, monkeypatch, viewer)
    page = shown.look("reports")
    page.text_input[0].set_value("000000")
    shown.press(page, "Sign the report")
    assert "the one-time code is wrong" in words(page) and not shown.offered
    page.text_input[0].set_value(CODE)
    shown.press(page, "Sign the report")
    [(name, data)] = shown.offered.items()
    file = tmp_path / name
    file.write_bytes(data)
    answer = verify_report(file, Console(quiet=True), out=folder)
    with closing(open_views(folder)) as views:
        act = views.acts(person=BEA)[-1]
    assert act.action == "report.sign" and name.endswith("-signed.pdf")
    assert answer["verified"] and answer["faults"] == []
    assert f"is registered from {act.at[:10]}" in str(answer["checked"])
    assert f"act {act.number} of the log says so" in str(answer["checked"])


def test_whoever_may_not_sign_is_told_which_role_may(
    folder: Path, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.add("Dan Scientist", "data-scientist", second=BEA)
    viewer = PersonViewer(folder, "Dan Scientist", people.key("Dan Scientist"))
    page = page_over(folder, monkeypatch, viewer).look("reports")
    assert "Your roles may not sign a report; these may: administrator, auditor" in words(page)
    assert "Sign the report" not in [one.label for one in page.button]


def test_only_a_pdf_is_offered_for_signing(
    folder: Path, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = page_over(folder, monkeypatch, PersonViewer(folder, BEA, people.key(BEA)))
    page = shown.look("reports")
    page.button_group[0].set_value("csv")
    shown.again(page)
    assert "A PDF alone can be signed" in words(page)
    assert "Sign the report" not in [one.label for one in page.button]


def test_the_preview_is_a_frame_that_runs_no_script_whatever_the_report_holds() -> None:
    page = '<html><script>alert("x")</script></iframe><b onclick="y">'
    frame = framed('a "title" <b>', page)
    assert frame.startswith('<iframe sandbox="" title="a &quot;title&quot; &lt;b&gt;"')
    assert "<script" not in frame and frame.count("<") == 2 and unescape(frame).count(page) == 1


def test_of_a_long_log_that_was_not_verified_no_report_is_made_and_the_way_stands_there(
    genuine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.reading.cached._AT_ONCE", 10)
    shown = page_over(genuine, monkeypatch)
    page = shown.look("reports")
    assert "once all " in words(page) and not shown.offered and not page.metric
    assert page.code[0].value.startswith(f"collegium report export {RUN} ")


def test_without_a_run_there_is_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace.create(tmp_path / "home")
    Store(workspace.database).close()
    page = page_over(workspace.root, monkeypatch).look("reports")
    assert "No run yet" in words(page) and not page.selectbox
