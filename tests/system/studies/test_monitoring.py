"""A monitoring calendar from records to flags, over the same way as any evaluation."""

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from compliance.facts.drift_calendar import DriftCalendar
from compliance.governance.promise_check import require_promised
from compliance.ledger.entries import State
from compliance.ledger.privacy_plan import calendar_name
from coordinator.alerts import drift_readings
from coordinator.alerts.drift_readings import DriftReadings
from coordinator.alerts.facts import AlertFacts
from coordinator.alerts.gathering import gathered
from coordinator.alerts.judging import judged
from coordinator.alerts.rules import AlertRules
from coordinator.database.store import ReleaseRow, RunRow
from coordinator.rounds.evaluation.released import released_from, released_json
from coordinator.views.views import open_views
from protocol.errors import BudgetSpent, QuorumLost, WorkspaceRefused
from protocol.study.study_file import read_study
from protocol.transport.privacy_summary import open_summary
from silos.training.counting.monitoring_trainer import MonitoringTrainer
from tests.support.networked.network import Network
from tests.support.simulated.calendars import (
    CALENDAR_STUDY,
    CalendarRuns,
    in_another_unit,
    on_a_new_ward,
    twice_as_ill,
)
from tests.support.simulated.studies import MONITORING_STUDY


@pytest.mark.parametrize(
    ("change", "column"),
    [
        (in_another_unit, "age"),
        pytest.param(on_a_new_ward, "ward", marks=pytest.mark.long),
        pytest.param(twice_as_ill, "ill", marks=pytest.mark.long),
    ],
)
def test_a_planted_drift_is_flagged_and_what_came_before_it_is_not(
    tmp_path: Path, change: Callable[[Path], None], column: str
) -> None:
    runs = CalendarRuns(tmp_path)
    runs.release()
    assert runs.calendar().sentence == (
        "0 of 2 releases after the reference: nothing is compared yet."
    )
    runs.release()
    assert not runs.calendar().flagged
    runs.release(change)
    found = runs.calendar()
    assert {(flag.release, flag.column) for flag in found.flagged} == {(2, column)}
    assert found.sentence.endswith(f"the newest shows drift of {column}.")
    with closing(open_views(runs.hospitals.workspace.root)) as views:
        assert views.calendars() == (found,)
        assert views.dossier("release-2").drift == found
        before = views.dossier("release-1").drift  # as it stood then, whatever came later
    assert before is not None and (before.made, before.flagged) == (1, ())
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["made_releases"] == 2


def test_what_is_kept_of_a_release_is_read_again_as_it_was(tmp_path: Path) -> None:
    runs = CalendarRuns(tmp_path)
    released = runs.release().released
    with runs.hospitals.store.read() as session:
        row = session.query(ReleaseRow).filter_by(kind="evaluation").one()
    kept = json.loads(row.payload_json)
    assert released_from(kept) == released
    assert released_json(released) == kept
    assert [one.name for one in released.histograms] == ["age", "ward", "ill"]
    assert [one.name for one in released.columns] == ["age", "ward", "ill"]
    assert all(column.mean is None for column in released.columns)


def test_the_whole_calendar_is_paid_from_every_budget_and_signed_so(tmp_path: Path) -> None:
    runs = CalendarRuns(tmp_path)
    runs.release()
    hospitals = runs.hospitals
    said = open_summary(hospitals.signed_summaries["east"], hospitals.roster.key_of("east"))
    assert said.priced_evaluations == 3
    assert said.evaluation_epsilon == pytest.approx(16, abs=0.05)
    require_promised(hospitals.study, said, test_noise=False, priced=True)
    before = hospitals.silos["east"]._ledger.summary().of("training")
    assert before.spent == pytest.approx(before.committed / 3, rel=1e-6)
    runs.release()
    after = hospitals.silos["east"]._ledger.summary().of("training")
    assert after.committed == before.committed
    assert runs.calendar().budget_left["east"] == pytest.approx(1 - after.committed)


@pytest.mark.long
def test_releases_end_with_the_calendar(tmp_path: Path) -> None:
    runs = CalendarRuns(tmp_path)
    for _ in range(3):
        runs.release()
    with pytest.raises(QuorumLost):
        runs.release()
    assert runs.calendar().made == 2


def test_a_calendar_that_no_budget_holds_is_refused_before_the_reference(tmp_path: Path) -> None:
    runs = CalendarRuns(tmp_path, budget=10.0)
    with pytest.raises(BudgetSpent, match=r"site east: the training patients' budget"):
        runs.release()
    with closing(open_views(runs.hospitals.workspace.root)) as views:
        with pytest.raises(WorkspaceRefused, match="no monitoring study has run here"):
            views.calendar()


def test_a_run_that_counted_nothing_is_named_and_takes_neither_price_nor_budgets_away(
    tmp_path: Path,
) -> None:
    runs = CalendarRuns(tmp_path)
    runs.release()
    before = runs.calendar()
    with runs.hospitals.store.transaction() as transaction:
        made = transaction.session.get_one(RunRow, "release-0")
        failed = {
            name: getattr(made, name)
            for name in ("study_digest", "simulation", "test_noise", "seed", "roster_json",
                         "environment_json")
        }  # fmt: skip
        transaction.write(
            RunRow(
                **failed, id="release-x", started_at="2999-01-01T00:00:00.000Z", state="failed",
                failure="BudgetSpent: site east has too little left", sites_json="{}",
            )
        )  # fmt: skip
    after = runs.calendar()
    assert [(run.run_id, run.why) for run in after.uncounted] == [
        ("release-x", "BudgetSpent: site east has too little left")
    ]
    assert replace(after, uncounted=()) == before
    assert before.epsilon is not None and before.budget_left


def test_a_hospital_that_stops_taking_part_is_named_and_its_absence_is_no_drift(
    tmp_path: Path,
) -> None:
    runs = CalendarRuns(tmp_path)
    runs.release()
    runs.release(in_another_unit, without="south")
    found: DriftCalendar = runs.calendar()
    assert found.series[0].note == "not tested: without south, unlike the reference"
    assert not found.flagged
    runs.release()
    assert runs.calendar().series[1].note == ""


def test_without_privacy_nothing_is_priced_and_drift_is_found_all_the_same(tmp_path: Path) -> None:
    text = CALENDAR_STUDY.replace(
        "{mode: per_site, epsilon: 16, delta: 1e-3, sampling_rate: 1.0}",
        "{mode: none, sampling_rate: 1.0}",
    )
    runs = CalendarRuns(tmp_path, text)
    runs.release()
    runs.release(in_another_unit)
    found = runs.calendar()
    assert found.epsilon is None
    assert {flag.column for flag in found.flagged} == {"age"}


@pytest.mark.long
def test_a_consortium_on_a_network_makes_its_releases_and_shows_them(tmp_path: Path) -> None:
    network = Network(tmp_path, read_study(MONITORING_STUDY))
    for site in network.sites.values():
        site.make_trainer = MonitoringTrainer
    with network.serving():
        network.start_sites()
        runs = [network.run() for _ in range(3)]
        rows = [network.row(run) for run in runs]
    assert [row.state for row in rows] == ["finished"] * 3
    assert not [site.failures for site in network.sites.values() if site.failures]
    with closing(open_views(network.home)) as views:
        found = views.calendar()
    assert [release.run_id for release in found.series] == runs[1:]
    assert not found.flagged
    with closing(network.sites["east"].open()) as east:
        (plan,) = east.ledger.open_plans()
        with east.transaction() as chain:
            sent = [entry.run for entry in chain.entries() if entry.state is State.SENT]
    assert plan.run == calendar_name(network.study.digest)
    assert sent == runs  # at no cost but the first: fixed test noise gives the same bytes again


def test_a_flagged_drift_raises_an_alert_and_thresholds_are_drawn_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, readings, drawn = CalendarRuns(tmp_path), DriftReadings(), []
    once = drift_readings.calendar_of

    def counted(session: Session, digest: str) -> DriftCalendar:
        drawn.append(digest)
        return once(session, digest)

    monkeypatch.setattr(drift_readings, "calendar_of", counted)
    runs.release()
    runs.release(in_another_unit)
    for _ in range(2):
        with runs.hospitals.store.read() as session:
            found = readings.read(session)
    assert len(drawn) == 1
    flagged = {one.watched for one in found if one.flagged}
    assert flagged and all(name.startswith("age (") for name in flagged)
    rules = AlertRules.model_validate(
        {"collegium_alerts": 1, "rules": [{"name": "moved", "kind": "drift"}]}
    )
    facts = AlertFacts(now=datetime(2026, 1, 1, tzinfo=UTC), drift=found)
    assert {cause.kind for cause in judged(facts, rules).causes} == {"drift"}
    whole = gathered(runs.hospitals.store, runs.hospitals.workspace, facts.now)
    assert whole.evaluated is not None and len(whole.evaluated) == 2
    assert not any(run.gaps for run in whole.evaluated)  # hospitals of other sizes are not unfair
