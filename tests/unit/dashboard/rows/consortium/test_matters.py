"""Lines of today: whom each waits for, how urgent it is, and what is told of it."""

from dataclasses import dataclass, replace

import pytest

from compliance.governance.incidents.course import IncidentState
from compliance.governance.people import Role
from compliance.reports.document import Tone
from coordinator.runs.monitoring.progress import RunProgress
from coordinator.views.alerts import Alert
from coordinator.views.members.approvals import RosterStanding, RunApprovals
from coordinator.views.members.sites import SiteRounds, SiteView
from dashboard.rows.consortium import matters
from protocol.transport.privacy_summary import Summary
from tests.support.simulated import dossiers
from tests.support.simulated.governed import NOW, governed, incident, later, person, waiting

ADA = person("Ada", Role.ADMINISTRATOR)
BEA = person("Bea", Role.COMPLIANCE_OFFICER)
CLEO = person("Cleo", Role.LEAD)
DAN = person("Dan", Role.DATA_SCIENTIST)
ED = person("Ed", Role.AUDITOR)
EVERYBODY = (ADA, BEA, CLEO, DAN, ED)


def texts(found: list[matters.Matter]) -> list[str]:
    return [one.text for one in matters.ordered_matters(found)]


def test_a_change_waits_for_those_who_may_confirm_it_and_is_not_shown_to_others() -> None:
    seen = governed(*EVERYBODY, changes=[waiting(7, ADA, hours=30)])
    for me in (BEA, CLEO):
        [one] = matters.waiting_matters(seen, me, NOW)
        assert one.text == (
            "Change 7 waits for your confirmation: person.add, person Dr. New, proposed by Ada; it "
            "lapses in 30 h."
        )
        assert one.page == "approvals"
    [own] = matters.waiting_matters(seen, ADA, NOW)
    assert own.text.startswith("Your change 7 waits for another person")
    assert matters.waiting_matters(seen, DAN, NOW) == matters.waiting_matters(seen, ED, NOW) == []


def test_a_change_about_oneself_waits_for_others() -> None:
    seen = governed(*EVERYBODY, changes=[waiting(7, ADA, about="Bea")])
    assert matters.waiting_matters(seen, BEA, NOW) == []
    assert matters.waiting_matters(seen, CLEO, NOW)


def test_without_login_everything_stands_as_waiting_for_somebody() -> None:
    seen = governed(
        *EVERYBODY, changes=[waiting(7, ADA)],
        incidents=[incident(1, CLEO, IncidentState.CONTAINED, unconfirmed=True)],
    )  # fmt: skip
    found = texts(matters.waiting_matters(seen, None, NOW))
    assert any(text.startswith("Change 7 waits for a second person") for text in found)
    assert len(found) == 3


def test_an_incident_is_contained_then_notified_then_closed_by_those_who_may() -> None:
    for state, roles, begins in (
        (IncidentState.OPEN, {"Ada", "Bea", "Cleo"}, "Incident 1, a laptop: not contained yet; 60"),
        (IncidentState.CONTAINED, {"Bea", "Cleo"}, "Incident 1, a laptop: a notification, or why"),
        (IncidentState.NOTIFIED, {"Bea", "Cleo"}, "Incident 1, a laptop, can be closed"),
        (IncidentState.CLOSED, set(), ""),
    ):
        seen = governed(*EVERYBODY, incidents=[incident(1, CLEO, state)])
        told = {me.name: matters.waiting_matters(seen, me, NOW) for me in EVERYBODY}
        assert {name for name, found in told.items() if found} == roles, state
        assert all(found[0].text.startswith(begins) for found in told.values() if found)


def test_a_late_notification_is_the_most_urgent_and_a_late_drill_is_no_alarm() -> None:
    found = [
        incident(1, CLEO, IncidentState.CONTAINED, hours=50),
        incident(2, CLEO, IncidentState.CONTAINED, hours=-3),
        incident(3, CLEO, IncidentState.CONTAINED, hours=-9, drill=True),
    ]
    seen = governed(*EVERYBODY, incidents=found, changes=[waiting(1, ADA)])
    lines = matters.ordered_matters(matters.waiting_matters(seen, BEA, NOW))
    assert "LATE by 3 h" in lines[0].text and lines[0].tone is Tone.BAD
    assert "50 h left" in lines[1].text
    drill = next(one for one in lines if "(drill)" in one.text)
    assert drill.tone is Tone.CAUTION


def test_a_containment_waits_for_another_than_who_made_it() -> None:
    held = incident(1, CLEO, IncidentState.NOTIFIED, unconfirmed=True)
    seen = governed(*EVERYBODY, incidents=[held])
    assert matters.waiting_matters(seen, CLEO, NOW) == []
    [one] = matters.waiting_matters(seen, ADA, NOW)
    assert "what Cleo contained waits for a second person" in one.text
    assert matters.may_confirm_containment(held, ADA)
    assert not matters.may_confirm_containment(held, CLEO)


def test_an_access_review_that_is_due_waits_for_officer_and_auditor() -> None:
    seen = governed(*EVERYBODY, notes=("the access was never reviewed", "hold.lift: no two people"))
    told = {me.name for me in EVERYBODY if matters.waiting_matters(seen, me, NOW)}
    assert told == {"Bea", "Ed"}
    [one] = matters.waiting_matters(seen, ED, NOW)
    assert one.text == "The access is to be reviewed: the access was never reviewed."


def roster(state: str, signed: tuple[str, ...], days: float = 300) -> RosterStanding:
    return RosterStanding(
        version=2, state=state, valid_until=later(days=days), sites=("east", "north", "west"),
        signed=signed, voters=("east", "north", "west"), needed=3,
    )  # fmt: skip


def test_a_roster_and_a_run_wait_for_the_hospitals_that_are_missing() -> None:
    joining = RunApprovals(
        run_id="run-9", study_name="heart", study_digest="d", started_at=later(), state="running",
        planned=("east", "north"), approved={"east": ()},
    )  # fmt: skip
    found = texts(matters.hospital_matters([roster("proposed", ("east",))], [joining]))
    assert found == [
        "heart, run run-9: north have not joined. A hospital joins when its own people have "
        "approved the study.",
        "Roster 2 waits for the signatures of north, west; 1 have signed, 3 must.",
    ]
    ended = replace(joining, state="finished")
    assert matters.hospital_matters([roster("signed", ("east",))], [ended]) == []


@dataclass(frozen=True, kw_only=True)
class Line:
    """A run's line, as the views give it."""

    run_id: str
    state: str
    study_name: str = "heart"
    started_at: str = "2026-01-01T00:00:00.000Z"
    seed: int = 0
    mode: str = "per_site"
    epsilon: float | None = 1.0
    test_noise: bool = False
    progress: RunProgress | None = None


def test_a_run_at_work_tells_its_round_its_silent_hospitals_and_the_time_left() -> None:
    progress = RunProgress(
        state="running", round=3, rounds=10, silent={"west": ""}, seconds_left=90.0
    )
    [one] = matters.running_matters([Line(run_id="r", state="running", progress=progress)])
    assert one.text.startswith("heart, run r: round 3 of 10. Silent: west. About ")
    assert one.tone is Tone.CAUTION and one.page == "runs"
    [plain] = matters.running_matters([Line(run_id="r", state="running")])
    assert plain.text == "heart, run r: at work."


@pytest.mark.parametrize("state", ["joining", "running", "waiting", "paused"])
def test_every_state_of_a_run_at_work_has_words(state: str) -> None:
    progress = RunProgress(state=state, round=1, rounds=2, waits_for="west has not answered")
    [one] = matters.running_matters([Line(run_id="r", state="running", progress=progress)])
    assert "round 1 of 2" in one.text and "It waits: west has not answered." in one.text


@pytest.mark.parametrize("state", sorted(matters.FAILED))
def test_a_run_that_did_not_end_stands_with_its_reason_or_the_remedy(state: str) -> None:
    run = Line(run_id="r", state=state)
    [told] = matters.failed_matters([run], lambda run_id: f"why {run_id}")
    assert told.text.startswith("heart, run r ") and told.remedy == "why r"
    [unknown] = matters.failed_matters([run], lambda run_id: None)
    assert unknown.remedy


def test_a_failure_that_a_newer_run_of_the_study_made_good_is_told_no_more() -> None:
    old = Line(run_id="a", state="failed")
    new = Line(run_id="b", state="finished", started_at="2026-02-01T00:00:00.000Z")
    other = Line(run_id="c", state="failed", study_name="lung")
    found = matters.failed_matters([new, old, other], lambda run_id: None)
    assert texts(found) == ["lung, run c failed."]


def site(
    name: str, share: float | None, run_share: float | None = 0.1, **given: object
) -> SiteView:
    newest: Summary = replace(
        dossiers.finished().sites[0].privacy, site=name, budget_share=share, run_share=run_share
    )
    said: dict[str, object] = {
        "site": name, "state": "enrolled", "certificate_until": None, "roster": 1, "runs": 1,
        "newest": newest, "newest_run": "run-1", "software": {}, "rounds": SiteRounds(),
    }  # fmt: skip
    return SiteView(**(said | given))  # type: ignore[arg-type]


def test_the_budget_that_ends_first_stands_with_the_price_of_another_run() -> None:
    sites = [site("east", 0.35), site("north", 0.65), site("west", None)]
    [one] = matters.budget_matters(sites, {"run-1": "heart"})
    assert one.text.startswith("north has 35") and "A run of heart costs 10" in one.text
    assert "3 more are paid for." in one.text and one.tone is Tone.PLAIN


def test_a_budget_that_pays_for_no_further_run_is_bad_and_an_unknown_one_is_not_told() -> None:
    [one] = matters.budget_matters([site("north", 0.95)], {})
    assert "0 more are paid for." in one.text and one.tone is Tone.BAD
    [unpriced] = matters.budget_matters([site("north", 0.95, None)], {})
    assert "costs" not in unpriced.text and unpriced.tone is Tone.CAUTION
    assert matters.budget_matters([site("north", None)], {}) == []
    assert matters.budget_matters([], {}) == []


def test_a_whole_number_of_runs_is_not_lost_to_rounding() -> None:
    [one] = matters.budget_matters([site("north", 0.7)], {})  # 0.3 / 0.1 is 2.9999...
    assert "3 more" in one.text


def test_keys_rosters_and_certificates_that_end_soon_are_told_those_that_do_not_are_not() -> None:
    soon = [person("Ada", Role.LEAD, days=12), person("Bea", Role.LEAD, days=31)]
    rosters = [roster("signed", (), days=20), roster("proposed", (), days=1)]
    sites = [
        site("north", 0.1, certificate_until=later(hours=20)),
        site("west", 0.1, certificate_until=later(hours=30)),
    ]
    found = matters.ordered_matters(matters.ending_matters(soon, rosters, sites, NOW))
    assert [one.text.split(":")[0].split(".")[0] for one in found] == [
        "The certificate of north ends in 20 h",
        "The key of Ada ends in 12 days",
        "Roster 2 ends in 20 days",
    ]


def test_what_has_ended_already_is_bad() -> None:
    [one] = matters.ending_matters([person("Ada", Role.LEAD, days=-1)], [], [], NOW)
    assert one.tone is Tone.BAD and "in 0 days" in one.text


def test_alerts_stand_the_gravest_first_with_what_to_do_and_who_took_note() -> None:
    def alert(number: int, severity: str, who: str | None = None) -> Alert:
        return Alert(
            number=number, severity=severity, run=None, raised_at=later(), closed_at=None,
            cause={"text": f"cause {number}.", "remedy": f"remedy {number}"}, acknowledged_by=who,
            acknowledged_at=later() if who else None, note=None,
        )  # fmt: skip

    raised = [alert(1, "warning"), alert(2, "critical"), alert(3, "warning", "Ada"),
              alert(4, "info")]  # fmt: skip
    found = matters.ordered_matters(matters.alert_matters(raised))
    assert [one.text for one in found] == [
        "critical alert 2: cause 2.", "warning alert 3: cause 3. Noted by Ada.",
        "warning alert 1: cause 1.", "info alert 4: cause 4.",
    ]  # fmt: skip
    assert found[0].tone is Tone.BAD and found[0].remedy == "remedy 2"
