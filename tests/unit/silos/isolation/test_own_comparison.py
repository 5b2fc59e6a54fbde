"""The federation's model beside the hospital's own, for tasks other than ill or not."""

import numpy as np
import pytest

from pipelines.networks.networks import build, parameters_of
from pipelines.records import Records
from protocol.study.study import Study
from protocol.study.study_file import read_study
from silos.isolation.own_comparison import compare
from tests.support.simulated.studies import TABLE_STUDY

KINDS = {
    "multiclass_classification": "{column: ill, classes: {a: [0], b: [1], c: [2]}}",
    "regression": "{column: ill, range: [20, 120], centre: 70, scale: 20}",
}


def study_of(kind: str) -> Study:
    text = TABLE_STUDY.replace("{column: ill, positive: [1], negative: [0]}", KINDS[kind])
    return read_study(text.replace("task:\n", f"task:\n  kind: {kind}\n"))


def records_of(study: Study, count: int, seed: int) -> Records:
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, study.cohort.width)).astype(np.float32)  # type: ignore[union-attr]
    values = features[:, 0]
    labels = np.digitize(values, [-0.5, 0.5]) if study.cohort.label.num_classes else values
    return Records(
        features=features, labels=labels.astype(np.float32),
        patients=np.arange(count, dtype=np.int64), rows=np.arange(count, dtype=np.int64),
        patient_keys=tuple(str(n) for n in range(count)),
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_trained_model_is_told_from_an_untrained_one(kind: str) -> None:
    study = study_of(kind)
    train, test = records_of(study, 40, 1), records_of(study, 80, 2)
    untrained = parameters_of(build(study.task, study.cohort, study.seeds.model))
    found = compare(study, "east", train, test, untrained)
    less = found["federated_less_own"]
    assert found["test_patients"] == 80 and found["test_positive"] is None
    assert less["low"] <= less["value"] <= less["high"] < 0  # of an error too: below is worse
    names = set(found["federated"])
    assert names == set(found["own"]) - {"trained"} and found["headline"] in names
    for name in names:
        assert found["own"][name]["low"] <= found["own"][name]["value"]


@pytest.mark.parametrize("kind", KINDS)
def test_without_test_patients_nothing_is_said(kind: str) -> None:
    study = study_of(kind)
    train = records_of(study, 40, 1)
    model = parameters_of(build(study.task, study.cohort, study.seeds.model))
    found = compare(study, "east", train, train.take(np.zeros(40, dtype=bool)), model)
    assert set(found["federated_less_own"].values()) == {None}


def test_a_personalised_model_is_compared_with_both_others() -> None:
    study = study_of("regression")
    train, test = records_of(study, 40, 1), records_of(study, 80, 2)
    untrained = parameters_of(build(study.task, study.cohort, study.seeds.model))
    ones = {name: np.ones_like(tensor) for name, tensor in untrained.items()}
    found = compare(study, "east", train, test, untrained, ones)
    assert found["personalised"] != found["federated"]
    same = compare(study, "east", train, test, ones)
    assert found["personalised"] == same["federated"]
    for other in ("federated", "own"):
        less = found[f"personalised_less_{other}"]
        assert less["low"] <= less["value"] <= less["high"]
    assert "personalised" not in same
