"""What another epsilon would cost and give: consistent with the study's own price and plan."""

import math

import pytest

from collegium.studies.bundled import bundled_study
from compliance.planning.what_if import SignedBudget, at_epsilon, what_if
from compliance.privacy.accounting import epsilon as spent
from protocol.errors import StudyRefused
from protocol.study.study import Study
from protocol.study.variants import as_distributed


@pytest.fixture(scope="module")
def study() -> Study:
    return bundled_study("heart-disease").study


def budgets(study: Study, share: float | None = None) -> dict[str, SignedBudget]:
    return {name: SignedBudget(epsilon=10.0, run_share=share) for name in study.site_names}


@pytest.mark.parametrize("epsilon", [0.5, 2.0, 8.0])
def test_noise_keeps_the_epsilon_that_was_asked_about(study: Study, epsilon: float) -> None:
    for one in (study, as_distributed(study)):
        found = what_if(one, epsilon, {})
        assert found.settings is not None and one.privacy.mode == found.settings.mode
        delta = one.privacy.delta  # type: ignore[union-attr]
        assert epsilon * 0.99 < spent(found.settings.event, delta) <= epsilon


def test_more_epsilon_is_less_noise_a_larger_share_and_more_utility(study: Study) -> None:
    found = [what_if(study, epsilon, budgets(study)) for epsilon in (0.3, 1.0, 4.0)]
    noises = [one.settings.noise for one in found if one.settings]
    reached = [one.settings.expected.auroc for one in found if one.settings and
               one.settings.expected]  # fmt: skip
    shares = [one.shares["va"] or math.nan for one in found]
    assert noises == sorted(noises, reverse=True) and len(set(noises)) == 3
    assert reached == sorted(reached) and len(reached) == 3
    assert shares == sorted(shares)


def test_the_share_at_the_studys_own_epsilon_is_the_one_that_was_signed(study: Study) -> None:
    own = study.privacy.epsilon  # type: ignore[union-attr]
    found = what_if(study, own, budgets(study, 0.157))
    assert all(share == pytest.approx(0.157) for share in found.shares.values())
    unsigned = what_if(study, own, budgets(study))
    dearer = what_if(study, 4 * own, budgets(study))
    signed = what_if(study, 4 * own, budgets(study, 0.157))
    ratio = (dearer.shares["va"] or 0) / (unsigned.shares["va"] or 1)
    assert signed.shares["va"] == pytest.approx(0.157 * ratio)


def test_a_hospital_without_a_known_budget_has_no_share(study: Study) -> None:
    found = what_if(study, 1.0, {"va": SignedBudget(epsilon=10.0)})
    assert found.shares["va"] and found.shares["cleveland"] is None


def test_what_could_be_reached_without_privacy_bounds_what_is_expected(study: Study) -> None:
    found = [what_if(study, 8.0, {}, auroc=auroc) for auroc in (0.7, 0.9)]
    reached = [one.settings.expected.auroc for one in found if one.settings and
               one.settings.expected]  # fmt: skip
    assert reached[0] < 0.72 and 0.8 < reached[1] < 0.92


def test_too_small_an_epsilon_and_a_study_without_privacy_are_refused(study: Study) -> None:
    with pytest.raises(StudyRefused, match="nothing could be learned"):
        what_if(study, 1e-3, {})
    with pytest.raises(StudyRefused, match="without privacy"):
        at_epsilon(study.with_epsilon(None), 1.0)


def test_a_network_with_hidden_layers_is_priced_but_not_forecast(study: Study) -> None:
    document = study.model_dump(mode="json")
    document["task"]["network"] = {"_target_": "FullyConnectedNet", "hidden_channels": [8]}
    deep = Study.model_validate(document)
    found = what_if(deep, 1.0, budgets(deep))
    assert found.settings is not None and found.settings.expected is None
    assert "only a linear model is forecast" in found.why
    assert found.shares["va"]
