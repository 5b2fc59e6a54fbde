"""Today over real folders: what stands there for whom, and what becomes of an alert's note."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from compliance.storage.clock import utc_now
from coordinator.alerts.judging import judged
from coordinator.alerts.register import AlertRegister
from coordinator.database.workspace import Workspace
from coordinator.views.alerts import Alert, AlertMessage
from coordinator.views.views import open_views
from dashboard.page import Tools
from dashboard.rows.alerts import alert_label, alert_rows, alerts_caption
from protocol.identity.roster import SigningKey
from tests.support.hospital.consortium_home import ConsortiumHome
from tests.support.hospital.people import ADA, BEA, CLEO, People
from tests.support.simulated.alert_facts import CALM, RULES, share
from tests.support.simulated.begun_run import begin_run
from tests.support.simulated.folder_page import FolderPage, page_over, rows, words
from tests.support.simulated.output_folder import change

SeenBy = Callable[[str], FolderPage]


def raise_one(people: People, folder: Path) -> None:
    key = Workspace.open(folder).signing_key()
    low = replace(CALM, shares=(share("north", 0.9),))
    AlertRegister(people.operations._store, key).settle(judged(low, RULES), RULES.told)


def headings(page: object) -> list[str]:
    return [one.value for one in page.subheader]  # type: ignore[attr-defined]


def test_where_nothing_waits_one_sentence_says_so(
    genuine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = page_over(genuine, monkeypatch).look("today")
    assert page.success[0].value.startswith("All is well: nothing waits for you")
    assert headings(page) == ["Privacy budget that ends first", "Evidence"]
    text = words(page)
    assert "of its budget for life left. A run of small costs" in text
    assert "A quorum has cosigned the first" in text and "attributed to NOBODY" in text
    assert not page.button


def test_members_that_the_service_does_not_hear_from_are_something_to_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = ConsortiumHome(tmp_path / "home")
    home.found("east", "north", "south")
    home.invite("west")
    now = utc_now().timestamp()
    never = page_over(home.root, monkeypatch, tools=Tools(last_seen=dict)).look("today")
    gone = {"east": now, "north": now, "south": now - 3600}
    one = page_over(home.root, monkeypatch, tools=Tools(last_seen=lambda: gone)).look("today")
    off = page_over(home.root, monkeypatch).look("today")
    home.store.close()
    assert "Not heard from" in headings(never) and not never.success
    assert "east, north, south: not heard from since the service began." in words(never)
    assert "south: silent since " in words(one) and not one.success
    assert "Not heard from" not in headings(off)  # no service runs: nobody listens


def test_a_change_stands_first_for_who_may_confirm_it_and_not_as_waiting_for_who_may_not(
    seen_by: SeenBy, people: People
) -> None:
    people.add("Dan Scientist", "data-scientist", second=BEA)
    said = {"key": SigningKey.generate().public.hex(), "roles": ("auditor",)}
    people.act(ADA, "person.add", ("person", "Dr. Dan New"), said)
    page = seen_by(BEA).look("today")
    assert headings(page)[0] == "Waits for you"
    assert "waits for your confirmation: person.add, person Dr. Dan New" in words(page)
    assert "waits for your confirmation" not in words(seen_by(ADA).look("today"))
    other = seen_by("Dan Scientist").look("today")
    assert headings(other) == ["Privacy budget that ends first"]  # neither people nor evidence
    assert "All is well" in words(other)


def test_a_note_on_an_alert_is_an_act_of_who_is_signed_in(
    seen_by: SeenBy, people: People, folder: Path
) -> None:
    raise_one(people, folder)
    shown = seen_by(CLEO)
    page = shown.look("today")
    assert "Open alerts" in headings(page) and "All is well" not in words(page)
    page.text_area[0].set_value("asked north")
    shown.press(page, "Take note")
    assert page.success[0].value.startswith("**Done: take note of an alert.** It is entry ")
    assert rows(page, 0)[0]["Taken note of by"].startswith(f"{CLEO}, ")
    assert f"Noted by {CLEO}." in words(page)
    assert "Take note" not in [one.label for one in page.button]
    with closing(open_views(folder)) as views:
        assert (views.alert(1).acknowledged_by, views.alert(1).note) == (CLEO, "asked north")


def test_without_login_the_command_stands_in_place_of_the_button(
    people: People, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_one(people, folder)
    page = page_over(folder, monkeypatch).look("today")
    assert not page.button and "collegium alerts acknowledge NUMBER" in page.code[0].value


def test_a_run_that_nobody_works_on_was_interrupted_and_the_remedy_stands_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = page_over(begin_run(tmp_path / "home"), monkeypatch).look("today")
    assert headings(page)[0] == "Did not come to its end"
    assert "was interrupted" in words(page) and "collegium coordinator start" in words(page)


def test_a_run_that_failed_stands_with_what_is_recorded_of_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    why = "north left: start it again"
    change(
        folder,
        "UPDATE run SET state = 'failed', failure = 'north left: start it again' "
        "WHERE id = 'run-2'",
    )
    page = page_over(folder, monkeypatch).look("today")
    assert "small, run run-2 failed." in words(page) and why in words(page)


def test_what_cannot_be_read_is_told_and_the_rest_stands_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(folder, "UPDATE cosignatures SET lines = replace(lines, 'A', 'B')")
    page = page_over(folder, monkeypatch).look("today")
    assert "cosignatures of the head" in page.error[0].value
    assert headings(page) == ["Privacy budget that ends first"] and "All is well" not in words(page)


def an_alert(number: int, **given: object) -> Alert:
    cause = {"text": f"cause {number}", "remedy": f"remedy {number}"}
    told: dict[str, object] = {
        "number": number, "severity": "warning", "run": "r", "cause": cause,
        "raised_at": "2026-03-04T05:06:07.000Z", "closed_at": None, "acknowledged_by": None,
        "acknowledged_at": None, "note": None,
    }  # fmt: skip
    return Alert(**(told | given))  # type: ignore[arg-type]


def test_alerts_stand_the_gravest_first_with_who_took_note_and_who_was_not_reached() -> None:
    failed = AlertMessage(
        webhook="on-call", event="raised", state="waiting", attempts=2, failure="HTTP 503",
        due_at="2026-03-04T06:06:07.000Z",
    )  # fmt: skip
    known = an_alert(
        4, acknowledged_by="Dr. A. Lead", note="asked", acknowledged_at="2026-03-04T06:06:07.000Z"
    )
    raised = (known, an_alert(3, severity="critical", messages=(failed,)))
    shown = alert_rows(raised)
    assert [row["What"] for row in shown] == ["cause 3", "cause 4"]
    assert shown[0]["Taken note of by"] == "nobody yet"
    assert shown[0]["Not delivered to"] == "on-call"
    assert shown[1]["Taken note of by"].startswith("Dr. A. Lead, ")
    assert shown[1]["Taken note of by"].endswith(": asked")
    assert "2 open alerts, of which 1 nobody has taken note of" in alerts_caption(raised)


def test_a_long_alert_stands_whole_in_the_table_and_short_in_a_choice() -> None:
    text = f"Release 3 about {'a long column ' * 30}![x](https://example.org/x.png)"
    alert = an_alert(1, cause={"text": text, "remedy": "look"})
    assert alert_rows((alert,))[0]["What"] == text
    assert len(alert_label(alert)) < 100 and alert_label(alert).endswith("…")
