"""A calendar of releases costs what its releases compose to, and is reserved at once."""

from pathlib import Path

import pytest

from compliance.ledger.ledger import Ledger
from compliance.ledger.privacy_plan import CALENDAR, PrivacyPlan, calendar_name
from compliance.privacy.accounting import calibrate, epsilon
from compliance.privacy.events import SampledGaussian
from protocol.errors import BudgetSpent, PolicyRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study
from silos.database.database import open_hospital
from tests.support.simulated.studies import MONITORING_STUDY, STATISTICS_STUDY

STUDY = read_study(MONITORING_STUDY)


def plan_of(study: Study = STUDY) -> PrivacyPlan:
    found = PrivacyPlan.at(study, "east")
    assert found is not None
    return found


def ledger_of(folder: Path, budget: float = 20.0) -> Ledger:
    ledger = open_hospital(folder / "hospital.db", site="east").ledger
    ledger.open_budget(epsilon_max=budget, delta=1e-3, signed_by="east")
    return ledger


def reserved(ledger: Ledger, run: str, study: Study = STUDY) -> PrivacyPlan:
    return plan_of(study).reserved(ledger, study.digest, run)


def send(ledger: Ledger, plan: PrivacyPlan, context: str, run: str | None = None) -> None:
    assert plan.evaluation_reservation is not None
    one = SampledGaussian(
        noise_multiplier=plan.evaluation.noise_multiplier, sampling_rate=1.0, steps=1
    )
    ledger.mark_sent(
        plan.evaluation_reservation, context=context, event=one, blob=context, content=context,
        run=run,
    )  # fmt: skip


@pytest.mark.parametrize("releases", [1, 2, 6, 24])
def test_the_price_is_the_accountants_composition_of_the_reference_and_all_releases(
    releases: int,
) -> None:
    study = read_study(MONITORING_STUDY.replace("releases: 2", f"releases: {releases}"))
    plan = plan_of(study)
    composed = SampledGaussian(
        noise_multiplier=plan.evaluation.noise_multiplier, sampling_rate=1.0, steps=releases + 1
    )
    assert plan.evaluation == composed
    assert plan.events == (composed,)
    assert plan.evaluation_epsilon == epsilon(composed, 1e-3)
    assert 0.99 * 4 <= plan.evaluation_epsilon <= 4
    single = calibrate(epsilon=4, delta=1e-3, sampling_rate=1.0, steps=1)
    assert composed.noise_multiplier == pytest.approx(single * (releases + 1) ** 0.5, rel=1e-3)


def test_the_first_run_reserves_all_of_it_and_later_runs_draw_from_that(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    first = reserved(ledger, "run-1")
    whole = ledger.summary().of("training").reserved
    send(ledger, first, "reference")
    first.settle(ledger)
    second = reserved(ledger, "run-2")
    assert second.evaluation_reservation == first.evaluation_reservation
    send(ledger, second, "first release")
    second.settle(ledger)
    line = ledger.summary().of("training")
    assert line.spent == pytest.approx(whole * 2 / 3, rel=1e-6)
    assert line.spent + line.reserved == pytest.approx(whole)
    assert [plan.run for plan in ledger.open_plans()] == [f"{CALENDAR}{STUDY.digest[:16]}"]
    assert ledger.share_of(second.booked_as(STUDY.digest, "run-2")) == pytest.approx(whole)


def test_each_release_is_booked_as_its_own_runs_and_the_plan_as_the_calendars(
    tmp_path: Path,
) -> None:
    hospital = open_hospital(tmp_path / "hospital.db", site="east")
    hospital.ledger.open_budget(epsilon_max=20.0, delta=1e-3, signed_by="east")
    for run in ("run-1", "run-2"):
        send(hospital.ledger, reserved(hospital.ledger, run), run, run=run)
    with hospital.transaction() as chain:
        found = [(entry.state.value, entry.run) for entry in chain.entries()]
    assert found == [
        ("RESERVED", calendar_name(STUDY.digest)), ("SENT", "run-1"), ("SENT", "run-2"),
    ]  # fmt: skip


def test_no_release_beyond_the_calendar_is_paid_for(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    for run in range(3):
        send(ledger, reserved(ledger, f"run-{run}"), f"release {run}")
    with pytest.raises(BudgetSpent, match="does not hold this release"):
        send(ledger, reserved(ledger, "run-4"), "release 4")


def test_a_calendar_is_one_run_of_those_that_were_approved(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    for run in range(3):
        plan = plan_of().reserved(ledger, STUDY.digest, f"run-{run}", max_runs=1)
        send(ledger, plan, f"release {run}")
    other = read_study(MONITORING_STUDY.replace("releases: 2", "releases: 3"))
    assert reserved(ledger, "run-9", other).evaluation_reservation is not None


def test_too_small_a_budget_refuses_the_whole_calendar_before_anything_is_counted(
    tmp_path: Path,
) -> None:
    ledger = ledger_of(tmp_path, budget=3.0)
    with pytest.raises(BudgetSpent, match="budget does not suffice"):
        reserved(ledger, "run-1")
    assert ledger.summary().of("training").committed == 0


def test_a_calendar_of_which_nothing_was_sent_is_free_again(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    reserved(ledger, "run-1").settle(ledger)
    assert not ledger.open_plans()
    assert ledger.summary().of("training").committed == 0
    send(ledger, reserved(ledger, "run-2"), "reference")


def test_a_calendar_that_was_left_frees_its_rest_and_never_goes_on(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path)
    plan = reserved(ledger, "run-1")
    send(ledger, plan, "reference")
    whole = ledger.summary().of("training").committed
    ledger.settle_run(plan.booked_as(STUDY.digest, "run-1"))
    assert ledger.summary().of("training").committed == pytest.approx(whole / 3, rel=1e-6)
    with pytest.raises(PolicyRefused, match="has left the study's calendar"):
        reserved(ledger, "run-2")


def test_other_studies_are_booked_and_settled_by_run_as_before(tmp_path: Path) -> None:
    ledger, study = ledger_of(tmp_path), read_study(STATISTICS_STUDY)
    plan = reserved(ledger, "run-1", study)
    assert plan.evaluation_reservation is not None
    assert plan.evaluation_reservation.run == "run-1"
    send(ledger, plan, "counts")
    plan.settle(ledger)
    assert not ledger.open_plans()
