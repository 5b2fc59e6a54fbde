"""The page of approvals over real folders: who may confirm what, and what comes of an act."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from compliance.governance.people import FIRST_POLICY, Role
from coordinator.views.log.search import LogQuery
from coordinator.views.views import open_views
from protocol.identity.roster import SigningKey
from tests.support.hospital.people import ADA, BEA, CLEO, People
from tests.support.hospital.person_viewer import CODE
from tests.support.simulated.folder_page import FolderPage, page_over, rows, words
from tests.support.simulated.output_folder import RUNS, change

SeenBy = Callable[[str], FolderPage]
NEW = "Dr. Dan New"


def propose(people: People) -> int:
    said = {"key": SigningKey.generate().public.hex(), "roles": ("auditor",)}
    number: int = people.act(ADA, "person.add", ("person", NEW), said)["change"]
    return number


def open_one(people: People, by: str = CLEO, *, drill: bool = False) -> None:
    said = {"kind": "other", "severity": "high", "drill": drill}
    people.act(by, "incident.open", ("incident", "a laptop is lost"), said)


def labels(page: AppTest) -> list[str]:
    return [one.label for one in page.button]


def enter_code(page: AppTest, code: str = CODE) -> None:
    """Types a one-time code into every form: the one whose button is pressed takes it."""
    for one in page.text_input:
        if one.label == "One-time code":
            one.set_value(code)


def names_of(folder: Path) -> set[str]:
    with closing(open_views(folder)) as views:
        return {person.name for person in views.governance().people}


def test_without_people_the_page_says_so_and_how_the_first_one_registers(
    genuine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = page_over(genuine, monkeypatch).look("approvals")
    text = words(page)
    assert "attributed to NOBODY" in text and "collegium people found NAME" in text
    assert "No change waits for a second person." in text and "No incident is open." in text
    assert "Nothing is held." in text and "No roster is proposed or signed" in text
    assert not page.button and "collegium incident open TITLE" in text
    studies = [rows(page, place) for place in range(len(page.table))][0]
    assert studies[0]["Run"] == RUNS[1] and studies[0]["Approved by"] == "east; north; south; west"


def test_a_second_person_confirms_with_a_code_and_the_page_shows_what_came_of_it(
    seen_by: SeenBy, people: People, folder: Path
) -> None:
    propose(people)
    shown = seen_by(BEA)
    page = shown.look("approvals")
    told = {row["What"]: row["Value"] for row in rows(page, 0)}
    assert (
        told["Proposed by"] == ADA
        and told["roles"] == "auditor"
        and len(told["key"].replace(" ", "")) == 64
    )
    enter_code(page)
    shown.press(page, "Confirm this change")
    with closing(open_views(folder)) as views:
        act = views.acts(person=BEA)[-1]
        entry = next(
            one.entry.index
            for one in views.search_log(LogQuery(words=act.digest)).entries
            if one.entry.type == "act-done"
        )
    assert NEW in names_of(folder) and act.action == "change.confirm"
    assert page.success[0].value == (
        f"**Done: confirm a change of another.** It is entry {entry:,} of the log."
    )
    shown.again(page)
    assert not page.success  # it is told once


def test_a_wrong_code_is_refused_in_the_words_of_the_service_and_nothing_is_done(
    seen_by: SeenBy, people: People, folder: Path
) -> None:
    propose(people)
    shown = seen_by(BEA)
    page = shown.look("approvals")
    enter_code(page, "000000")
    shown.press(page, "Confirm this change")
    assert "Refused, and nothing was changed" in page.error[0].value
    assert "the one-time code is wrong" in words(page)
    assert NEW not in names_of(folder)


def test_who_proposed_a_change_is_offered_no_button_and_told_why(
    seen_by: SeenBy, people: People
) -> None:
    propose(people)
    page = seen_by(ADA).look("approvals")
    assert "Confirm this change" not in labels(page)
    assert f"{ADA} proposed it: another person confirms" in words(page)


def test_whoever_has_no_right_sees_which_role_may(seen_by: SeenBy, people: People) -> None:
    people.add("Ed Auditor", "auditor", second=BEA)
    propose(people)
    page = seen_by("Ed Auditor").look("approvals")
    assert "Confirm this change" not in labels(page)
    text = words(page)
    assert "Ed Auditor may not confirm person.add: that takes administrator or" in text
    assert "Your roles may not withdraw a change that waits; these may:" in text


def test_the_roles_that_may_sign_a_report_are_those_of_the_policy_in_force(
    seen_by: SeenBy, people: People
) -> None:
    sign = replace(FIRST_POLICY.right("report.sign"), roles=frozenset({Role.ADMINISTRATOR}))
    people.change_policy(2, rights={**FIRST_POLICY.rights, "report.sign": sign})
    text = words(seen_by(CLEO).look("reports"))
    assert "Your roles may not sign a report; these may: administrator." in text


def test_a_change_is_withdrawn_and_then_stands_among_those_decided(
    seen_by: SeenBy, people: People
) -> None:
    propose(people)
    shown = seen_by(CLEO)
    page = shown.look("approvals")
    enter_code(page)
    shown.press(page, "Withdraw this change")
    assert "No change waits for a second person." in words(page)
    decided = next(
        found for found in (rows(page, place) for place in range(len(page.table)))
        if "Outcome" in found[0]
    )  # fmt: skip
    assert (decided[0]["Outcome"], decided[0]["Decided by"]) == ("withdrawn", CLEO)


def test_a_change_that_lapsed_waits_no_longer(
    seen_by: SeenBy, people: People, folder: Path
) -> None:
    propose(people)
    change(
        folder, "UPDATE change SET expires = '2020-01-01T00:00:00.000Z' WHERE state = 'proposed'"
    )
    page = seen_by(BEA).look("approvals")
    assert "No change waits for a second person." in words(page)
    assert any(row.get("Outcome") == "lapsed" for row in rows(page, 0))


def test_an_incident_goes_its_way_through_the_forms_of_two_people(
    seen_by: SeenBy, people: People, folder: Path
) -> None:
    lead, officer = seen_by(CLEO), seen_by(BEA)
    page = lead.look("approvals")
    page.text_input(key="incident title").set_value("a key was seen elsewhere")
    page.selectbox(key="incident kind").set_value("lost-key")
    lead.press(page, "Open the incident")
    assert page.success[0].value.startswith("**Done: open an incident.**")
    page.multiselect(key="contain 1 suspend").set_value([ADA])
    page.text_area(key="contain 1 note").set_value("suspended by telephone")
    enter_code(page)
    lead.press(page, "Contain now")
    assert f"suspend {ADA}: done" in words(page)
    assert "You contained it: another person confirms." in words(page)
    assert "Confirm the containment" not in labels(page)

    page = officer.look("approvals")
    enter_code(page)
    officer.press(page, "Confirm the containment")
    page.text_input(key="notify 1 to").set_value("the authority")
    page.text_area(key="notify 1 note").set_value("told by telephone")
    officer.press(page, "Record the notification")
    page.text_area(key="close 1 note").set_value("keys are kept elsewhere now")
    officer.press(page, "Close the incident")
    assert "No incident is open." in words(page)
    with closing(open_views(folder)) as views:
        [incident] = views.governance().incidents
    assert incident.incident.state == "closed"
    assert [step.step for step in incident.incident.steps] == [
        "open", "contain", "notify", "close"
    ]  # fmt: skip
    assert incident.incident.steps[1].confirmed_by == BEA


def test_a_late_notification_is_an_alarm(seen_by: SeenBy, people: People, folder: Path) -> None:
    open_one(people)
    change(folder, "UPDATE incident SET due_at = '2020-01-01T00:00:00.000Z'")
    page = seen_by(BEA).look("approvals")
    assert page.error[0].value.startswith("A notification is late.")


def test_what_the_service_refuses_about_an_incident_is_its_sentence(
    seen_by: SeenBy, people: People
) -> None:
    open_one(people)
    shown = seen_by(BEA)
    page = shown.look("approvals")
    enter_code(page)
    shown.press(page, "Contain now")  # without a note
    assert "--note says what was done" in words(page)


def test_a_hold_is_placed_alone_and_lifted_by_two(
    seen_by: SeenBy, people: People, folder: Path
) -> None:
    shown = seen_by(BEA)
    page = shown.look("approvals")
    page.text_area(key="held reason").set_value("a complaint")
    shown.press(page, "Place the hold")
    assert page.success[0].value.startswith("**Done: place a legal hold.**")
    with closing(open_views(folder)) as views:
        [hold] = views.governance().holds
    assert (hold.kind, hold.subject, hold.reason) == ("run", RUNS[1], "a complaint")
    enter_code(page)
    shown.press(page, "Propose to lift it")
    assert "waits for a second person, and nothing is done yet" in page.success[0].value


def test_the_access_review_is_signed_with_its_digest(seen_by: SeenBy, folder: Path) -> None:
    shown = seen_by(BEA)
    page = shown.look("approvals")
    assert "the access was never reviewed" in words(page)
    page.text_area(key="reviewed").set_value("all are needed")
    enter_code(page)
    shown.press(page, "Sign the review")
    with closing(open_views(folder)) as views:
        act, seen = views.acts(person=BEA)[-1], views.governance()
    assert act.details == {"digest": seen.review.digest, "note": "all are needed"}
    assert f"by {BEA}." in words(page)
