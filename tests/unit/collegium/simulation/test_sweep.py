"""Sweeps: what is trained, in which mode, and what budget suffices for it."""

import re
from pathlib import Path

import pytest

from collegium.output.progress import unwatched
from collegium.simulation.pricing import budget_for
from collegium.simulation.settings import SimulationSettings
from collegium.simulation.sweeps.grid import Grid, parse_modes, plan_jobs
from collegium.simulation.sweeps.sweep import require_splits_fit, sweep_studies
from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.privacy.accounting import epsilon
from compliance.privacy.budget_filter import Filter
from protocol.errors import CohortRefused, StudyRefused
from protocol.study.privacy import DistributedPrivacy
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.study.variants import as_per_site, question
from tests.support.simulated.federation import write_hospitals
from tests.support.simulated.studies import changed, small_study

ALL = ("per_site", "distributed", "pooled")
#: The small study with shared noise.
SHARED = (
    "{mode: distributed, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0, "
    "noise_multiplier: 9}"
)
PRIVACY = "{mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}"
TRAINING = "{rounds: 2, local_steps: 2, learning_rate: 0.5, micro_batch: 8}"


def shared_study(how: str = "strategy: fedsgd") -> Study:
    training = f"{{{how}, rounds: 4, local_steps: 1, learning_rate: 0.5}}"
    return read_study(changed(PRIVACY, SHARED).replace(TRAINING, training))


def studies_of(*studies: Study, modes: tuple[str, ...] = (), **grid: tuple[float | None, ...]):  # type: ignore[no-untyped-def]
    whole = Grid(epsilons=grid.get("epsilons", (1.0,)), seeds=(1, 2), modes=modes)
    return [(job.mode, job.study) for job in plan_jobs(studies, whole)]


def test_a_sweep_is_every_epsilon_with_every_seed_each_a_study_of_its_own() -> None:
    jobs = plan_jobs([small_study()], Grid(epsilons=(1.0, None), seeds=(1, 2, 3)))
    assert len({job.study.digest for job in jobs}) == 6
    assert [job.study.seeds.model for job in jobs] == [1, 2, 3, 1, 2, 3]
    assert [job.mode for job in jobs] == ["per_site"] * 3 + ["none"] * 3
    assert [job.study.privacy.mode for job in jobs] == ["per_site"] * 3 + ["none"] * 3


def test_each_seed_may_draw_a_split_of_its_own() -> None:
    grid = Grid(epsilons=(1.0, 2.0), seeds=(1, 2, 3), splits=True)
    jobs = plan_jobs([small_study()], grid)
    splits = [job.study.seeds.split for job in jobs]
    assert len(set(splits)) == 3 and splits[:3] == splits[3:]  # every epsilon, the same patients
    assert small_study().seeds.split not in splits
    assert len({job.study.digest for job in jobs}) == 6  # recorded: each is a study of its own
    assert {question(job.study) for job in jobs} == {question(small_study())}
    assert splits == [job.study.seeds.split for job in plan_jobs([small_study()], grid)]
    other = plan_jobs([small_study().with_split(5)], grid)
    assert not {job.study.seeds.split for job in other} & set(splits)


def test_a_split_that_gives_a_hospital_more_patients_than_it_declares_is_refused_first(
    tmp_path: Path,
) -> None:
    study = read_study(changed("{name: east, records: east.csv, patients: 40}",
                               "{name: east, records: east.csv, patients: 28}"))  # fmt: skip
    write_hospitals(tmp_path, study)
    grid = Grid(epsilons=(1.0,), seeds=tuple(range(10)), splits=True)
    out = tmp_path / "out"
    documents = [(study, tmp_path)]
    with pytest.raises(CohortRefused, match=r"patients: \.\.\.") as refused:
        sweep_studies(documents, out, grid, SimulationSettings(data=tmp_path), unwatched)
    lines = str(refused.value).splitlines()
    assert all(line.startswith("--splits: seed ") and "site east: " in line for line in lines)
    assert not out.exists()
    told = {int(seed) for line in lines for seed in re.findall(r"\d+", line.split(":")[1])}
    assert 0 < len(told) < 10
    fitting = [job.study for job in plan_jobs([study], grid) if job.study.seeds.model not in told]
    require_splits_fit(fitting, tmp_path, None)


def test_a_split_that_a_column_says_is_not_drawn_again() -> None:
    by_column = read_study(
        changed("{method: keyed_hash, test_fraction: 0.3}",
                "{method: column, column: part, train: [a], test: [b]}")
    )  # fmt: skip
    with pytest.raises(StudyRefused, match=r"split.method column says where every record is"):
        plan_jobs([by_column], Grid(epsilons=(1.0,), seeds=(1, 2), splits=True))


def test_an_epsilon_for_a_study_without_privacy_is_refused() -> None:
    bare = read_study(changed(PRIVACY, "{mode: none, sampling_rate: 1.0}"))
    with pytest.raises(StudyRefused, match="no clip and delta to go with an epsilon"):
        studies_of(bare)
    with pytest.raises(StudyRefused, match="no clip and delta to go with an epsilon"):
        studies_of(bare, modes=ALL, epsilons=(None,))
    assert [mode for mode, _ in studies_of(bare, epsilons=(None,))] == ["none", "none"]


def test_a_sweep_without_end_is_refused() -> None:
    with pytest.raises(StudyRefused, match="more than 400 runs"):
        plan_jobs([small_study()], Grid(epsilons=(1.0, 2.0), seeds=tuple(range(300))))


def test_local_steps_become_rounds_where_noise_is_shared() -> None:
    found = dict(studies_of(small_study(), modes=ALL))
    assert list(found) == list(ALL)
    shared, training = found["distributed"], found["distributed"].training
    assert (training.strategy, training.rounds, training.local_steps) == ("fedsgd", 4, 1)
    assert shared.privacy.epsilon == 1.0
    assert shared.aggregation == small_study().aggregation


def test_derived_shared_noise_keeps_epsilon_over_every_release() -> None:
    shared = dict(studies_of(small_study(), modes=ALL))["distributed"]
    assert isinstance(shared.privacy, DistributedPrivacy)
    assert shared.priced_steps == 4 + 1  # one spare draw is paid for beforehand
    event = PrivacyPlan.of(shared, shared.privacy).training
    assert 0.95 < epsilon(event, 1e-3) <= 1.0


def test_momentum_stays_only_where_a_local_step_could_feel_it() -> None:
    long = read_study(changed("local_steps: 2,", "local_steps: 2, momentum: 0.5,"))
    short = read_study(changed("local_steps: 2,", "local_steps: 1, momentum: 0.5,"))
    momenta = [
        dict(studies_of(study, modes=ALL))["distributed"].training.momentum
        for study in (long, short)
    ]
    assert momenta == [0.5, 0.0]


def test_shared_noise_becomes_local_at_the_same_steps() -> None:
    found = dict(studies_of(shared_study(), modes=ALL))
    per_site = found["per_site"]
    assert (per_site.privacy.mode, per_site.training.strategy) == ("per_site", "fedavg")
    assert per_site.title == "A small study (in mode per_site)"
    assert per_site.training.steps == found["distributed"].training.steps == 4
    assert as_per_site(per_site) is per_site


@pytest.mark.parametrize("how", ["strategy: fedsgd, momentum: 0.9", "strategy: fedadam"])
def test_a_server_that_remembers_has_no_local_twin(how: str) -> None:
    with pytest.raises(StudyRefused, match="name a study of mode per_site, tuned for it"):
        studies_of(shared_study(how), modes=ALL)


def test_without_privacy_there_is_one_consortium_and_one_ceiling() -> None:
    found = studies_of(small_study(), modes=ALL, epsilons=(None,))
    assert [mode for mode, _ in found] == ["none", "none", "pooled", "pooled"]
    assert {study.privacy.mode for _, study in found} == {"none"}


def test_several_studies_each_run_in_their_own_mode() -> None:
    tuned = shared_study("strategy: fedsgd, momentum: 0.9")
    found = dict(studies_of(small_study(), tuned))
    assert found["per_site"].training.strategy == "fedavg"
    assert found["distributed"].training.momentum == 0.9
    assert dict(studies_of(small_study(), tuned, modes=ALL))["pooled"].privacy.mode == "per_site"


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (changed("hidden_channels: [4]", "hidden_channels: [5]"), "do not ask the same question"),
        (changed("model: 1, split: 1", "model: 1, split: 2"), "do not ask the same question"),
        (changed("name: west, records: west", "name: west, records: w"), "the same question"),
        (changed("delta: 1e-3", "delta: 1e-4"), "promise different deltas"),
        (changed("learning_rate: 0.5", "learning_rate: 0.4"), "two studies of mode per_site"),
    ],
)
def test_studies_that_cannot_be_compared_are_refused(second: str, why: str) -> None:
    with pytest.raises(StudyRefused, match=why):
        studies_of(small_study(), read_study(second))


def test_a_study_whose_mode_is_not_swept_is_not_passed_over() -> None:
    with pytest.raises(StudyRefused, match="--modes leaves out the mode of study small"):
        studies_of(small_study(), shared_study(), modes=("per_site",))


@pytest.mark.parametrize(
    ("text", "why"),
    [("global", "'global' is not one of"), ("none", "no privacy is --epsilon none"),
     ("pooled", "name per_site or distributed beside it")],
)  # fmt: skip
def test_modes_that_are_none_are_refused(text: str, why: str) -> None:
    with pytest.raises(StudyRefused, match=why):
        parse_modes(text)


def test_noise_that_nothing_could_be_learned_under_is_refused() -> None:
    with pytest.raises(StudyRefused, match="nothing could be learned"):
        studies_of(read_study(changed("rounds: 2", "rounds: 999")), modes=ALL, epsilons=(0.01,))


def test_shared_noise_that_breaks_one_hospitals_own_promise_is_refused_before_any_work() -> None:
    site = "{name: east, records: east.csv, patients: 40"
    own = read_study(changed(site, f"{site}, epsilon: 0.5"))
    jobs = plan_jobs([own], Grid(epsilons=(4.0,), seeds=(1,), modes=("distributed",)))
    with pytest.raises(StudyRefused, match="more than the 0.5 promised"):
        budget_for([job.study for job in jobs])


def test_the_budget_of_a_sweep_holds_all_its_runs_and_little_more() -> None:
    studies = [study for _, study in studies_of(small_study(), epsilons=(4.0, 8.0))]
    budget = budget_for(studies)
    plans = [PrivacyPlan.of(study, study.privacy) for study in studies]  # type: ignore[arg-type]

    def fits(epsilon: float) -> bool:
        events = tuple(event for plan in plans for event in (plan.training, plan.evaluation))
        return Filter(epsilon_max=epsilon, delta=1e-3).share_of(events) <= 1

    assert fits(budget)
    assert not fits(budget / 1.6 - 1)
