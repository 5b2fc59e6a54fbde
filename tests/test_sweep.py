"""Sweeps: which studies are run, and what budget suffices for them."""

import pytest

from collegium.pricing import budget_for
from collegium.sweep import variants
from compliance.accounting import Filter, rdp
from protocol.errors import StudyRefused
from protocol.study_file import read_study
from silos.participation import PrivacyPlan
from tests.studies import changed, small_study


def test_a_sweep_is_every_epsilon_with_every_seed_each_a_study_of_its_own() -> None:
    studies = variants(small_study(), (1.0, None), (1, 2, 3))
    assert len({study.digest for study in studies}) == 6
    assert [study.seeds.model for study in studies] == [1, 2, 3, 1, 2, 3]
    assert [study.privacy.mode for study in studies] == ["local"] * 3 + ["none"] * 3


def test_an_epsilon_for_a_study_without_privacy_is_refused() -> None:
    bare = read_study(
        changed(
            "{mode: local, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}",
            "{mode: none, sampling_rate: 1.0}",
        )
    )
    with pytest.raises(StudyRefused, match="no clip and delta to go with an epsilon"):
        variants(bare, (1.0,), (1,))
    assert len(variants(bare, (None,), (1, 2))) == 2


def test_a_sweep_without_end_is_refused() -> None:
    with pytest.raises(StudyRefused, match="more than 400 runs"):
        variants(small_study(), (1.0, 2.0), range(300))


def test_the_budget_of_a_sweep_holds_all_its_runs_and_little_more() -> None:
    studies = variants(small_study(), (4.0, 8.0), (1, 2))
    budget = budget_for(studies)
    plans = [PrivacyPlan.of(study, study.privacy) for study in studies]  # type: ignore[arg-type]

    def fits(epsilon: float) -> bool:
        limit = Filter(epsilon_max=epsilon, delta=1e-3)
        return sum(rdp(plan.training, limit.order) for plan in plans) <= limit.capacity

    assert fits(budget)
    assert not fits(budget / 1.6 - 1)
