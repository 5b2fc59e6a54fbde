"""What people do in a browser, each act signed by their own key and in the log.

The tests stand in their order: each goes on with what the one before did.
"""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from coordinator.governance.incident_register import NumberedIncident
from coordinator.views.governance import RecordedAct
from coordinator.views.run_notes import tags_of
from coordinator.views.views import open_views
from dashboard.texts import say
from protocol.encoding import digest
from tests.support.browser.visit import Visit
from tests.support.dashboard.governed_folder import EVE, NEW, GovernedFolder
from tests.support.hospital.people import ADA, BEA, CLEO
from tests.support.machine.commands import start
from tests.support.machine.patience import PATIENCE
from tests.support.networked.network import until
from tests.support.simulated.begun_run import begin_beside
from tests.support.simulated.studies import small_study

#: An incident, and a run that nobody gives a tag.
INCIDENT, OTHER = "a key was sent by mail", "20261126-101500-0a1b"
SeenBy = Callable[..., Visit]
#: What Cleo notes about the run, and how it is written down: in one line.
NOTE, NOTED, TAG = (
    "East was late:\ntheir line was down.",
    "East was late: their line was down.",
    "p1",
)


@pytest.fixture(scope="module")
def run(governed: GovernedFolder) -> str:
    with closing(open_views(governed.home)) as views:
        (run,) = views.runs()
    return run.run_id


def acts_of(governed: GovernedFolder, person: str) -> tuple[RecordedAct, ...]:
    with closing(open_views(governed.home)) as views:
        return views.acts(person=person)


def newest(governed: GovernedFolder, person: str) -> RecordedAct:
    return acts_of(governed, person)[-1]


def test_a_change_is_confirmed_with_a_fresh_code_alone(
    seen_by: SeenBy, governed: GovernedFolder
) -> None:
    visit = seen_by(BEA)
    used = governed.code_of(BEA, governed.newest_step(BEA))  # it logged her in
    visit.turn_to("Approvals")
    for code, why in (("000000", "the code is wrong"), (used, "this code was used already")):
        visit.send("Confirm this change", code)
        visit.told(why)
        with closing(open_views(governed.home)) as views:
            assert [one.number for one in views.governance().changes] == [governed.change]
    visit.send("Confirm this change", governed.code(BEA))
    visit.told("Done: confirm a change of another.")
    with closing(open_views(governed.home)) as views:
        seen = views.governance()
        assert not seen.changes and NEW in {person.name for person in seen.people}
    act = newest(governed, BEA)
    assert (act.action, act.outcome, act.subject) == (
        "change.confirm", "done", str(governed.change)
    )  # fmt: skip


def test_a_link_to_a_run_leads_there_after_the_login(
    seen_by: SeenBy, governed: GovernedFolder, run: str
) -> None:
    with closing(open_views(governed.home)) as views:
        title = views.dossier(run).study_title
    visit = seen_by(CLEO, f"runs?run={run}")
    visit.told(title)
    assert visit.page.url.endswith(f"/runs?run={run}")


@pytest.mark.long
def test_what_one_person_contains_another_confirms(
    seen_by: SeenBy, governed: GovernedFolder
) -> None:
    def incident() -> NumberedIncident:
        with closing(open_views(governed.home)) as views:
            return next(
                one for one in views.governance().incidents if one.incident.title == INCIDENT
            )

    def did(person: str, action: str) -> None:
        act = newest(governed, person)
        assert (act.action, act.outcome) == (action, "done")
        assert act.subject in (str(incident().number), INCIDENT)

    def unfold(visit: Visit, title: str) -> None:
        visit.page.get_by_role("tab", name=say("approvals.incidents")).click()
        visit.unfold(title)

    contain, confirm = say("approvals.contain_button"), say("approvals.confirm_button")
    visit = seen_by(ADA)
    visit.turn_to("Approvals")
    unfold(visit, say("approvals.open_incident"))
    own = visit.form(say("approvals.open_button"))
    own.get_by_role("textbox", name=say("approvals.title")).fill(INCIDENT)
    own.get_by_role("button", name=say("approvals.open_button")).click()
    visit.told("Done: open an incident.")
    did(ADA, "incident.open")
    unfold(visit, INCIDENT)
    visit.choose(say("approvals.measure_suspend"), NEW)
    visit.form(contain).get_by_role("textbox", name=say("acts.note")).fill("she sent it")
    visit.send(contain, governed.code(ADA))
    visit.told("Done: contain an incident at once.")
    did(ADA, "incident.contain")
    unfold(visit, INCIDENT)
    visit.told(say("approvals.own_containment"))
    assert visit.form(contain).count() and not visit.form(confirm).count()
    assert len(incident().incident.unconfirmed) == 1

    visit = seen_by(CLEO)
    visit.turn_to("Approvals")
    unfold(visit, INCIDENT)
    visit.send(confirm, governed.code(CLEO))
    visit.told("Done: confirm a containment of another.")
    did(CLEO, "incident.confirm")
    assert not incident().incident.unconfirmed


@pytest.mark.long
def test_a_report_is_previewed_exported_as_an_act_and_signed_by_a_registered_key(
    seen_by: SeenBy, governed: GovernedFolder, run: str, tmp_path: Path
) -> None:
    visit = seen_by(EVE)
    visit.turn_to("Reports")
    shown = visit.page.frame_locator("iframe").last.frame_locator("iframe").get_by_text(run).first
    visit.unfold(say("reports.preview"))
    shown.wait_for(timeout=1000.0 * PATIENCE)
    offers = visit.page.get_by_test_id("stDownloadButton").get_by_role("button")
    assert not offers.count()
    assert "report.export" not in {act.action for act in acts_of(governed, EVE)}
    visit.press(say("reports.export", form="PDF"))
    visit.told(say("reports.download", name=""))
    with visit.page.expect_download() as kept:
        offers.click()
    report = tmp_path / kept.value.suggested_filename
    kept.value.save_as(report)
    act = newest(governed, EVE)
    assert (act.action, act.outcome, act.subject) == ("report.export", "done", run)
    assert act.details["sha256"] == digest(report.read_bytes())

    visit.unfold(say("reports.sign_heading"))
    visit.send(say("reports.sign"), governed.code(EVE))
    visit.told(say("reports.signed", name=EVE))
    with visit.page.expect_download() as kept:
        offers.last.click()
    signed = tmp_path / kept.value.suggested_filename
    kept.value.save_as(signed)
    act = newest(governed, EVE)
    assert (act.action, act.details["sha256"]) == ("report.sign", digest(report.read_bytes()))
    done = start("report", "verify", signed, "--out", governed.home, "--json")
    assert done.returncode == 0, done
    assert f"by the key under which {EVE} (auditor) is registered" in done.stdout
    assert f"act {act.number} of the log says so" in done.stdout
    unsigned = start("report", "verify", report, "--out", governed.home)
    assert "UNSIGNED" in unsigned.stdout and EVE not in unsigned.stdout


def test_a_note_and_a_tag_are_an_act_and_the_table_of_runs_is_narrowed_by_the_tag(
    seen_by: SeenBy, governed: GovernedFolder, run: str
) -> None:
    begin_beside(governed.home, small_study(), OTHER)
    visit = seen_by(CLEO)
    visit.open(f"runs?run={run}")
    own = visit.form(say("runs.write"))
    own.get_by_role("textbox", name=say("runs.note")).fill(NOTE)
    tags = own.get_by_role("combobox", name=say("runs.tags"))
    tags.fill(TAG)
    tags.press("Enter")
    tags.press("Escape")  # closes the list of options
    own.get_by_role("button", name=say("runs.write")).click()
    visit.told(NOTED)
    with closing(open_views(governed.home)) as views:
        (note,) = views.notes(run)
        assert (note.person, note.text, tags_of((note,))) == (CLEO, NOTED, {run: (TAG,)})
    act = newest(governed, CLEO)
    assert (act.action, act.outcome, act.subject) == ("run.note", "done", run)
    visit.press(say("runs.all"))
    visit.told(say("runs.found", found=2, number=2))
    assert {row[0]: row[-1] for row in visit.rows(run)} == {run: TAG, OTHER: ""}
    visit.unfold(say("runs.more_filters"))
    visit.choose(say("runs.tags"), TAG)
    visit.told(say("runs.found", found=1, number=2))
    until(lambda: [(row[0], row[-1]) for row in visit.rows(run)] == [(run, TAG)])
