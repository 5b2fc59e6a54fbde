"""The measurement behind the planning advice: its descent is that of a hospital's own trainer."""

import math
from pathlib import Path

import numpy as np
import pytest

from compliance.planning.expected_auroc import Descent, _descend
from pipelines.records import Records
from protocol.study.rounds.noise_shares import units_for
from protocol.study.study_file import read_study
from protocol.vectors.tensors import flatten, layout_of, unflatten
from silos.training.randomness import RoundInput, SecretEntropy
from silos.training.trainer import Trainer
from tests.long.planning.__main__ import rows
from tests.long.planning.cohorts import Cohort, Drawn, draw
from tests.long.planning.descent import Settings, aurocs, descend
from tests.long.planning.references import measured
from tests.long.planning.risks import bias_of_weights, tried
from tests.support.simulated.studies import TABLE_STUDY

STUDY = read_study(
    TABLE_STUDY.replace("hidden_channels: [4]}", "hidden_channels: []}\n  prevalence: 0.2")
    .replace("clip: 1.0", "clip: 0.7")
    .replace("patients: 40", "patients: 60")
)


def test_descent_without_noise_is_that_of_a_hospitals_trainer() -> None:
    random = np.random.default_rng(3)
    features = random.normal(size=(60, 3)).astype(np.float32)
    labels = (random.random(60) < 0.3).astype(np.float32)
    records = Records(
        features=features,
        labels=labels,
        patients=np.arange(60),
        patient_keys=tuple(map(str, range(60))),
        rows=np.arange(60),
    )
    trainer = Trainer(STUDY, "east", records, records)
    model = trainer.initial_model()
    layout, size = layout_of(model), flatten(model).size
    for number in range(5):
        total = trainer.noised_sum(
            RoundInput(model=model, number=number, noise_multiplier=1e-9), SecretEntropy()
        )
        mean = total / units_for(size) * 0.7 / 60
        model = unflatten(layout, (flatten(model) - 2.0 * mean).astype(np.float32))
    found = descend(
        features, labels, [Settings(steps=5, clip=0.7, learning_rate=2.0, noise=0.0)],
        start=math.log(0.2 / 0.8), repeats=1, random=random,
    )  # fmt: skip
    bias = next(value for value in model.values() if value.size == 1)
    weights = next(value for value in model.values() if value.size == 3)
    assert found[:-1, 0] == pytest.approx(weights.reshape(-1), abs=1e-4)
    assert found[-1, 0] == pytest.approx(float(bias.reshape(-1)[0]), abs=1e-4)


def test_descent_of_the_forecast_is_the_measured_one() -> None:
    """The product's own loop, on one drawn cohort, without noise: the same weights."""
    random = np.random.default_rng(7)
    features = random.normal(size=(80, 5)).astype(np.float32)
    ill = (random.random(80) < 0.25).astype(np.float32)
    plan = Descent(
        steps=12, sampling_rate=1.0, clip=0.4, learning_rate=3.0, noise=0.0,
        starts_at_prevalence=True,
    )  # fmt: skip
    records = np.column_stack([features, np.ones(80, np.float32)])
    forecast = _descend(plan, records, ill[:, None], random)[:, 0]
    share = float(ill.mean())
    measured = descend(
        features, ill, [Settings(steps=12, clip=0.4, learning_rate=3.0, noise=0.0)],
        start=math.log(share / (1 - share)), repeats=1, random=random,
    )[:, 0]  # fmt: skip
    assert forecast == pytest.approx(measured, abs=1e-4)


def test_noise_of_the_descent_has_the_deviation_that_was_asked_for() -> None:
    """Records of zeros move the bias alone: every weight is a sum of draws."""
    nothing, quiet = np.zeros((50, 400), np.float32), np.zeros(50, np.float32)
    settings = Settings(steps=9, clip=0.5, learning_rate=2.0, noise=0.1)
    found = descend(
        nothing, quiet, [settings], start=0.0, repeats=20, random=np.random.default_rng(1)
    )
    assert found[:-1].std() == pytest.approx(2.0 * 0.1 * 0.5 * 3, rel=0.03)


def test_the_measurements_of_the_planning_page_run_on_a_bundled_cohort() -> None:
    """Breast cancer comes with a library, so no folder of data is needed."""
    cohort, nowhere = Cohort(source="breast cancer", patients=300, prevalence=0.1, sites=3), Path()
    row = next(rows(cohort, nowhere, drawings=1, repeats=1))
    assert 0.5 < row.advised <= 1 and 0.5 < row.best <= 1
    (found, *_) = tried(cohort, nowhere, 3.0, drawings=1)
    assert 0 < found.before.mean < 0.5 and found.before.brier > 0
    aurocs_of = measured(cohort, nowhere, 3.0, drawings=1)
    assert aurocs_of.shape == (1, 5) and (aurocs_of > 0.5).all()


def test_the_bias_of_weights_gives_normal_inputs_the_mean_risk_that_was_asked() -> None:
    weights = np.array([1.0, -2.0], np.float32)
    inputs = np.random.default_rng(2).normal(size=(200_000, 2))
    logits = inputs @ weights + bias_of_weights(weights, 0.2)
    assert float((1 / (1 + np.exp(-logits))).mean()) == pytest.approx(0.2, abs=0.003)


def test_settings_of_one_call_do_not_touch_each_other() -> None:
    random = np.random.default_rng(5)
    records = random.normal(size=(40, 3)).astype(np.float32)
    ill = (records[:, 0] > 0).astype(np.float32)
    both = [Settings(steps=steps, clip=0.5, learning_rate=1.0, noise=0.0) for steps in (2, 6)]
    together = descend(records, ill, both, start=0.0, repeats=2, random=random)
    for place, one in enumerate(both):
        alone = descend(records, ill, [one], start=0.0, repeats=1, random=random)
        assert together[:, 2 * place] == pytest.approx(alone[:, 0], abs=1e-6)


def test_auroc_counts_ordered_pairs_and_ties_half() -> None:
    test = np.array([[1.0], [2.0], [2.0], [3.0]], np.float32)
    drawn = Drawn(train=test, train_ill=test[:, 0], test=test, test_ill=np.array([0, 0, 1, 1.0]))
    found = aurocs(np.array([[1.0, -1.0], [0.0, 0.0]], np.float32), drawn)
    assert found == pytest.approx([3.5 / 4, 0.5 / 4])


def test_drawing_keeps_size_prevalence_and_parts_apart() -> None:
    records = np.arange(1000, dtype=np.float32)[:, None]
    ill = (np.arange(1000) % 5 == 0).astype(np.float32)
    drawn = draw(Cohort(source="", patients=300, prevalence=0.1, sites=3), records, ill, seed=1)
    assert (len(drawn.train), len(drawn.test)) == (210, 90)
    assert (drawn.train_ill.sum(), drawn.test_ill.sum()) == (21, 9)
    both = np.concatenate([drawn.train[:, 0], drawn.test[:, 0]])
    assert len(set(both)) == 300
    assert np.array_equal(ill[both.astype(int)], np.concatenate([drawn.train_ill, drawn.test_ill]))
