"""Scores of each kind of task are what its outputs mean."""

import numpy as np
import pytest

from protocol.study.study_file import read_study_file
from silos.results.inference.scores import margins_of, score_names, scores_of
from tests import ROOT


@pytest.mark.parametrize(
    ("example", "outputs", "expected"),
    [
        ("heart-disease", [[np.log(3)]], {"risk": 0.75, "positive": 1}),
        ("diabetes-progression", [[0.0]], {"value": 175.0}),
    ],
)
def test_a_score_is_in_the_labels_terms(
    example: str, outputs: list[list[float]], expected: dict[str, float]
) -> None:
    study = read_study_file(ROOT / "examples" / example / "study.yaml")
    (found,) = scores_of(study.task, study.cohort.label, np.array(outputs))
    assert found == pytest.approx(expected)
    assert tuple(found) == score_names(study.task, study.cohort.label)


def test_classes_have_probabilities_that_add_up() -> None:
    study = read_study_file(ROOT / "examples" / "digits" / "study.yaml")
    outputs = np.zeros((1, 10))
    outputs[0, 3] = 2.0
    (found,) = scores_of(study.task, study.cohort.label, outputs)
    names = list(study.cohort.label.classes)  # type: ignore[union-attr]
    assert found["class"] == names[3]
    shares = [float(value) for name, value in found.items() if name != "class"]
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    assert margins_of(study.task, outputs)[0] == pytest.approx(max(shares) - min(shares), abs=1e-5)


def test_survival_adds_the_output_to_each_published_hazard() -> None:
    study = read_study_file(ROOT / "examples" / "breast-cancer-survival" / "study.yaml")
    (found,) = scores_of(study.task, study.cohort.label, np.array([[0.0]]))
    published = [float(share) for share in study.task.event_free]  # type: ignore[union-attr]
    assert [v for name, v in found.items() if "event-free" in name] == pytest.approx(
        published, abs=1e-6
    )
    (worse,) = scores_of(study.task, study.cohort.label, np.array([[1.0]]))
    assert all(float(worse[n]) < float(found[n]) for n in found if "event-free" in n)
    assert np.isnan(margins_of(study.task, np.array([[1.0]]))).all()


def test_masks_are_told_as_counts_of_voxels() -> None:
    study = read_study_file(ROOT / "examples" / "segmentation-3d" / "study.yaml")
    outputs = np.zeros((1, study.task.outputs(study.cohort.label), 2, 2, 2))
    outputs[0, 1, 0] = 1.0
    (found,) = scores_of(study.task, study.cohort.label, outputs)
    assert list(found.values())[:2] == [4, 4] and all("voxels" in name for name in found)
