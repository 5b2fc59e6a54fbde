"""The page of runs: the table, the run and the comparison that the address names, notes."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from compliance.facts.dossier import Dossier
from compliance.governance.acts import ActRequest
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.views.run_notes import tags_of
from coordinator.views.views import Views, open_views
from protocol.errors import PolicyRefused
from tests.support.hospital.people import BEA, CLEO, People
from tests.support.machine.patience import PATIENCE
from tests.support.simulated import dossiers
from tests.support.simulated.begun_run import RUN, begin_run
from tests.unit.dashboard.test_dashboard import FakeViews


def _script(views, viewer) -> None:  # type: ignore[no-untyped-def]  # text, without imports
    from dashboard import app
    from dashboard.page import Page

    app.show_page("runs", Page(views=views) if viewer is None else Page(views=views, viewer=viewer))


def page_of(views: object, viewer: object = None, **address: str) -> AppTest:
    page = AppTest.from_function(_script, args=(views, viewer), default_timeout=PATIENCE)
    for name, value in address.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    return page


def words(page: AppTest) -> str:
    parts = [page.title, page.markdown, page.subheader, page.caption, page.info, page.warning,
             page.error, page.success]  # fmt: skip
    return "\n".join(element.value for kind in parts for element in kind).replace("\\", "")


def some() -> FakeViews:
    return FakeViews(
        dossiers.finished(),
        dossiers.failed(),
        replace(dossiers.finished(), run_id="other-1", study_name="lung"),
    )


def test_all_runs_stand_in_a_table_and_none_is_opened() -> None:
    page = page_of(some())
    table = page.dataframe[0].value
    assert len(table) == 3 and set(table["state"]) == {"finished", "failed"}
    assert table["released"].dtype == float
    assert "3 of 3 runs" in words(page) and "Exact figures are of simulations only" in words(page)
    assert not page.metric


def test_the_table_is_narrowed_by_words_and_states() -> None:
    page = page_of(some())
    page.text_input[0].set_value("lung").run()
    assert list(page.dataframe[0].value["run"]) == ["other-1"]
    page.text_input[0].set_value("").run()
    page.multiselect[0].set_value(["failed"]).run()
    assert list(page.dataframe[0].value["state"]) == ["failed"]
    page.text_input[0].set_value("nothing has this").run()
    assert "No run fits these filters." in words(page) and not page.dataframe


def test_the_address_names_one_run_and_the_way_back_leads_to_all() -> None:
    page = page_of(some(), run="other-1")
    assert page.metric and "No training curve is shown" in words(page)
    assert "FOLDER/snapshots/" in "\n".join(code.value for code in page.code)
    page.button[0].click().run()
    assert not page.exception and "run" not in page.query_params and not page.metric


def test_two_runs_stand_beside_each_other_with_what_differs() -> None:
    first, other = dossiers.finished(), replace(dossiers.finished(), run_id="other-1")
    other = replace(other, study={**other.study, "seeds": {"model": 77}})
    page = page_of(FakeViews(first, other), compare=f"{first.run_id},other-1,gone")
    assert "There is no run gone here." in words(page)
    differing = page.dataframe[-1].value
    assert "77" in set(differing["other-1"])
    assert len(page.get("vega_lite_chart")) == 1
    assert "different questions" not in words(page)
    alone = page_of(FakeViews(first), compare=first.run_id)
    assert "Two runs or more can be compared." in words(alone)


def test_runs_of_other_questions_are_not_compared_in_silence() -> None:
    class Asking(FakeViews):
        def runs(self):  # type: ignore[no-untyped-def]
            return tuple(replace(run, question=run.run_id) for run in super().runs())

    page = page_of(Asking(dossiers.finished(), dossiers.failed()), compare=",".join(
        (dossiers.finished().run_id, dossiers.failed().run_id)
    ))  # fmt: skip
    assert "These runs ask different questions" in words(page)


def rounds_of(count: int) -> Dossier:
    rounds = tuple(dossiers.round_facts(number) for number in range(count))
    return replace(dossiers.finished(), rounds=rounds, rounds_planned=count)


def test_no_chart_is_higher_for_three_hundred_rounds_than_for_three() -> None:
    heights = []
    for count in (3, 300):
        page = page_of(FakeViews(rounds_of(count)), run=dossiers.finished().run_id)
        heights.append([chart.proto.spec for chart in page.get("vega_lite_chart")])
    few, many = ([text.split('"height": ')[-1].split(",")[0] for text in one] for one in heights)
    assert few == many and len(few) >= 2


def test_a_run_under_way_is_shown_with_how_far_it_is() -> None:
    page = page_of(FakeViews(dossiers.running(), dossiers.finished()))
    assert "How long the rest takes is not known yet." in str(page.get("progress")[0].proto)
    one = page_of(FakeViews(dossiers.running()), run=dossiers.running().run_id)
    assert "rounds done" in str(one.get("progress")[0].proto)


@dataclass
class Signer:
    """A viewer who signs acts with a person's key."""

    people: People
    name: str
    done: list[Mapping[str, Any]] = field(default_factory=list)
    roles: frozenset[str] = frozenset()
    signs: bool = True

    def may_see(self, subject: str) -> bool:
        return True

    def may(self, action: str) -> bool:
        return action == "run.note"

    def perform(
        self, request: ActRequest, payload: Mapping[str, Any] | None = None, code: str = ""
    ) -> dict[str, Any]:
        about = (request.subject_kind, request.subject)
        return self.people.act(self.name, request.action, about, request.details)


@pytest.fixture
def noted(tmp_path: Path) -> Iterator[tuple[People, Views]]:
    folder = begin_run(tmp_path / "out")
    workspace = Workspace.open(folder)
    with closing(Store(workspace.database)) as store:
        people = People.over(store, workspace.signing_key())
        people.found()
        with closing(open_views(folder)) as views:
            yield people, views


def test_a_note_is_a_signed_act_and_the_newest_tags_are_the_runs(
    noted: tuple[People, Views],
) -> None:
    people, views = noted
    people.act(CLEO, "run.note", ("run", RUN), {"text": "odd in east", "tags": ("b", "a")})
    people.act(BEA, "run.note", ("run", RUN), {"text": "looked at it"})
    assert [(note.person, note.text, note.tags) for note in views.notes(RUN)] == [
        (CLEO, "odd in east", ("a", "b")), (BEA, "looked at it", None),
    ]  # fmt: skip
    assert tags_of(views.notes()) == {RUN: ("a", "b")}
    people.act(CLEO, "run.note", ("run", RUN), {"tags": ()})
    assert tags_of(views.notes()) == {}
    assert views.notes("another") == ()
    people.add("Max Auditor", "auditor", second=BEA)
    with pytest.raises(PolicyRefused, match="may not write a note"):
        people.act("Max Auditor", "run.note", ("run", RUN), {"text": "x"})
    assert len(views.notes()) == 3


def test_whoever_may_writes_a_note_on_the_page(noted: tuple[People, Views]) -> None:
    people, views = noted
    known = FakeViews(replace(dossiers.finished(), run_id=RUN))
    known.notes = views.notes  # type: ignore[method-assign]
    page = page_of(known, Signer(people, CLEO), run=RUN)
    page.text_area[0].set_value("seen *twice*")
    next(one for one in page.button if one.label == "Sign and write").click().run()
    assert not page.exception and not page.error
    assert [note.text for note in views.notes(RUN)] == ["seen *twice*"]
    assert "seen *twice*" in words(page)


def test_without_people_notes_are_read_and_not_written() -> None:
    page = page_of(FakeViews(dossiers.finished()), run=dossiers.finished().run_id)
    assert "Notes are signed by people" in words(page) and not page.text_area
