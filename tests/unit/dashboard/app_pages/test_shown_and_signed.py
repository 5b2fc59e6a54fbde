"""What a person signs stood on their screen: of what has changed since, nothing is signed."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from collegium.reports.person_signature import sign_as_person
from coordinator.alerts.judging import judged
from coordinator.alerts.register import AlertRegister
from coordinator.database.workspace import Workspace
from coordinator.views.governance import RecordedAct
from coordinator.views.views import open_views
from tests.support.hospital.people import ADA, BEA, CLEO, People
from tests.support.hospital.person_viewer import CODE, PersonViewer
from tests.support.simulated.alert_facts import CALM, RULES, share
from tests.support.simulated.folder_page import FolderPage, page_over, words
from tests.support.simulated.output_folder import change
from tests.unit.dashboard.app_pages.test_approvals import enter_code, open_one, propose
from tests.unit.dashboard.app_pages.test_reports import EXAMPLE
from tests.unit.dashboard.app_pages.test_today import raise_one

SeenBy = Callable[[str], FolderPage]
CHANGED = "has changed since you saw it"


def acts(folder: Path, person: str, action: str) -> list[RecordedAct]:
    with closing(open_views(folder)) as views:
        return [one for one in views.acts(person=person) if one.action == action]


def pressed(shown: FolderPage, page: AppTest, label: str) -> None:
    enter_code(page)
    shown.press(page, label)


def test_a_note_is_not_put_to_an_alert_that_was_raised_meanwhile(
    seen_by: SeenBy, people: People, folder: Path
) -> None:
    raise_one(people, folder)
    shown = seen_by(BEA)
    page = shown.look("today")
    low = replace(CALM, shares=(share("north", 0.9), share("south", 0.95)))
    key = Workspace.open(folder).signing_key()
    AlertRegister(people.operations._store, key).settle(judged(low, RULES), RULES.told)
    page.text_area[0].set_value("I know of it")
    pressed(shown, page, "Take note")
    assert not acts(folder, BEA, "alert.acknowledge") and CHANGED in words(page)
    pressed(shown, page, "Take note")
    assert len(acts(folder, BEA, "alert.acknowledge")) == 1


def test_a_change_that_says_something_else_now_is_not_confirmed(
    seen_by: SeenBy, people: People, folder: Path
) -> None:
    before, number = len(acts(folder, BEA, "change.confirm")), propose(people)
    shown = seen_by(BEA)
    page = shown.look("approvals")
    change(
        folder,
        "UPDATE change SET request_json = replace(request_json, 'auditor', 'administrator'), "
        "request_digest = 'f' || substr(request_digest, 2) WHERE state = 'proposed'",
    )
    pressed(shown, page, "Confirm this change")
    assert len(acts(folder, BEA, "change.confirm")) == before and CHANGED in words(page)
    pressed(shown, page, "Confirm this change")  # what stands there now
    assert acts(folder, BEA, "change.confirm")[-1].subject == str(number)


def test_a_containment_that_was_added_meanwhile_is_not_confirmed(
    seen_by: SeenBy, people: People, folder: Path
) -> None:
    open_one(people)
    people.act(CLEO, "incident.contain", ("incident", "1"), {"note": "a", "suspend": ("nobody",)})
    shown = seen_by(BEA)
    page = shown.look("approvals")
    people.act(CLEO, "incident.contain", ("incident", "1"), {"note": "b", "suspend": (ADA,)})
    pressed(shown, page, "Confirm the containment")
    assert not acts(folder, BEA, "incident.confirm") and CHANGED in words(page)
    pressed(shown, page, "Confirm the containment")
    assert [one.details for one in acts(folder, BEA, "incident.confirm")] == [{"steps": 3}]


def test_a_confirmation_of_fewer_steps_than_an_incident_has_is_refused(people: People) -> None:
    from protocol.errors import PolicyRefused

    open_one(people)
    people.act(CLEO, "incident.contain", ("incident", "1"), {"note": "a", "suspend": ("nobody",)})
    with pytest.raises(PolicyRefused, match="look again"):
        people.act(BEA, "incident.confirm", ("incident", "1"), {"steps": 1})
    people.act(BEA, "incident.confirm", ("incident", "1"), {"steps": 2})


def test_an_access_review_is_not_signed_of_roles_that_were_changed_meanwhile(
    seen_by: SeenBy, people: People, folder: Path
) -> None:
    shown = seen_by(BEA)
    page = shown.look("approvals")
    page.text_area(key="reviewed").set_value("all are needed")
    people.add("Eve New", "administrator", second=BEA)
    pressed(shown, page, "Sign the review")
    assert not acts(folder, BEA, "access.review") and CHANGED in words(page)
    assert page.text_area(key="reviewed").value == "all are needed"


def test_a_report_that_came_out_otherwise_meanwhile_is_not_signed(
    folder: Path, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = PersonViewer(folder, BEA, people.key(BEA), sign=sign_as_person)
    shown = page_over(folder, monkeypatch, viewer)
    page = shown.look("reports")
    page.text_input[0].set_value(CODE)
    (folder / "consortium.yaml").write_bytes(EXAMPLE.read_bytes())
    shown.press(page, "Sign the report")
    assert not acts(folder, BEA, "report.sign") and not shown.offered
