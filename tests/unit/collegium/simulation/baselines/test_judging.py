"""What scored models come to: the cross-site matrix, and who leads whom."""

import json
from pathlib import Path

import numpy as np
import pytest

from collegium.simulation.baselines.judging import findings_of
from collegium.simulation.baselines.plan import Baseline, baselines_of
from collegium.simulation.baselines.run import trainings_of
from collegium.simulation.baselines.scoring import ScoredTraining
from compliance.estimates.interval import Interval
from compliance.facts.comparison.baselines import (
    ALL_BUT,
    FEDERATED,
    LOCAL,
    POOLED,
    BaselineFindings,
    key_of,
)
from pipelines.evaluation import exact_intervals
from pipelines.evaluation.exact_intervals import auroc_interval
from pipelines.evaluation.metrics import auroc
from protocol.study.study import Study
from protocol.study.study_file import read_study
from tests.support.machine.short_form import short_form
from tests.support.simulated.studies import SURVIVAL_STUDY, TABLE_STUDY, small_study
from tests.support.simulated.tasks import DEFINITIONS

FINDINGS = ", ".join(
    f"{name}: {{column: {name}, positive: [1], negative: [0]}}" for name in ("a", "b", "c")
)
LABELS = {
    "multiclass_classification": "{column: ill, classes: {a: [0], b: [1], c: [2]}}",
    "multilabel_classification": f"{{findings: {{{FINDINGS}}}}}",
    "regression": "{column: ill, range: [20, 120], centre: 70, scale: 20}",
}
SEGMENTATION = Path(__file__).parents[5] / "examples/segmentation-3d/study.yaml"
PATIENTS = 80


def study_of(kind: str) -> Study:
    if kind == "binary_classification":
        return small_study()
    if kind == "survival":
        return read_study(SURVIVAL_STUDY)
    if kind == "segmentation":
        return read_study(SEGMENTATION.read_text())
    text = TABLE_STUDY.replace("{column: ill, positive: [1], negative: [0]}", LABELS[kind])
    columns = "".join(f"\n    - {{name: {name}, kind: other}}" for name in ("ill", "a", "b", "c"))
    text = text.replace("\n    - {name: ill, kind: other}", columns)
    return read_study(text.replace("task:\n", f"task:\n  kind: {kind}\n"))


def drawn(study: Study, kind: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Returns labels, and scores that go with them, of every hospital's test patients."""
    random, labels, scores = np.random.default_rng(1), {}, {}
    for site in study.site_names:
        if kind == "segmentation":  # found, predicted and true pixels of the one class
            true = random.integers(5, 10, PATIENTS)
            predicted = random.integers(5, 10, PATIENTS)
            found = np.minimum(true, predicted) - random.integers(0, 3, PATIENTS)
            own = np.stack([found, predicted, true], axis=1).astype(float)
            scores[site], labels[site] = own, np.zeros(PATIENTS)
            continue
        labels[site] = DEFINITIONS[kind].drawn_labels(random, PATIENTS).astype(float)
        if kind == "multiclass_classification":
            scores[site] = np.eye(3)[labels[site].astype(int)] + random.normal(0, 1, (PATIENTS, 3))
        else:
            scores[site] = labels[site] + random.normal(0, 1, labels[site].shape)
    return labels, scores


def models(
    study: Study, scores: dict[str, np.ndarray], *, local: float = 1.0
) -> list[ScoredTraining]:
    """Returns a scored model of each baseline; what a hospital learns alone is ``local`` of it."""
    random = np.random.default_rng(2)

    def scored(baseline: Baseline, draw: int) -> ScoredTraining:
        noise = random.normal(0, 0.1, 1) if study.task.kind != "segmentation" else 0.0
        part = local if baseline.kind == LOCAL else 1.0
        return ScoredTraining(
            baseline=baseline, draw=draw, train_patients=7,
            epsilon=1.0 if baseline.noised else None,
            noise_multipliers={}, scores={s: own * part + noise for s, own in scores.items()},
        )  # fmt: skip

    return [scored(*training) for training in trainings_of(baselines_of(study), 3)]


def found_of(kind: str, **options: float) -> BaselineFindings:
    study = study_of(kind)
    labels, scores = drawn(study, kind)
    train = dict.fromkeys(study.site_names, 50)
    return findings_of(study, train, labels, models(study, scores, **options))


@pytest.mark.parametrize(
    "kind", short_form([*LABELS, "binary_classification", "segmentation", "survival"], 3)
)
def test_every_task_that_trains_is_compared_by_its_headline_figure(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact_intervals, "DRAWS", 60)
    found = found_of(kind)
    sites = found.sites
    for model in found.models:
        for interval in (*model.by_site.values(), model.everybody):
            assert interval.value is not None and interval.low is not None, (model.key, interval)
            assert interval.low <= interval.value <= (interval.high or 0)
    assert {size.site: size.test_patients for size in found.hospitals} == dict.fromkeys(
        sites, PATIENTS
    )
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert len(told["models"]) == len(found.levels) * (2 + 2 * len(sites))
    assert told["figure"] == found.headline.name


def test_the_matrixs_diagonal_is_what_each_hospital_reaches_alone_on_its_own_patients() -> None:
    study = small_study()
    labels, scores = drawn(study, "binary_classification")
    scored = models(study, scores)
    found = findings_of(study, dict.fromkeys(study.site_names, 50), labels, scored)
    for one in scored:
        if one.baseline.kind == LOCAL and not one.baseline.noised and one.scores is not None:
            site = one.baseline.site or ""
            ill = int(labels[site].sum())
            area = auroc(one.scores[site], labels[site])
            expected = auroc_interval(area, ill, PATIENTS - ill)
            own = found.model(LOCAL, site, noised=False).by_site[site]
            assert own == Interval(value=expected.value, low=expected.low, high=expected.high)


def test_a_better_model_leads_where_the_interval_leaves_no_other_reading() -> None:
    found = found_of("binary_classification", local=-1.0)  # alone, they order patients wrongly
    for noised in (False, True):
        federated = key_of(FEDERATED, None, noised=noised)
        for site in found.sites:
            local = key_of(LOCAL, site, noised=noised)
            assert found.lead(site, federated, local).verdict == "better"
            rest = key_of(ALL_BUT, site, noised=noised)
            assert found.lead(site, federated, rest).verdict == "not told apart"
        pooled = key_of(POOLED, None, noised=noised)
        assert found.lead(None, pooled, federated).verdict == "not told apart"
    protected, alone = key_of(FEDERATED, None, noised=True), key_of(LOCAL, "east", noised=False)
    assert found.lead("east", protected, alone).verdict == "better"


def test_a_smaller_error_is_a_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_intervals, "DRAWS", 60)
    found = found_of("regression", local=3.0)
    lead = found.lead(
        "east", key_of(FEDERATED, None, noised=False), key_of(LOCAL, "east", noised=False)
    )
    assert lead.verdict == "better" and (lead.value.value or 0) > 0


def test_a_hospital_with_one_class_has_no_figure_and_says_why() -> None:
    study = small_study()
    labels, scores = drawn(study, "binary_classification")
    labels["west"][:] = 1.0
    found = findings_of(study, dict.fromkeys(study.site_names, 50), labels, models(study, scores))
    for model in found.models:
        own = model.by_site["west"]
        assert own.value is None
        assert own.note == "not available: test patients of one class only"
        assert model.by_site["east"].value is not None and model.everybody.value is not None
    leads = [lead for lead in found.leads if lead.tested == "west"]
    assert leads and {lead.verdict for lead in leads} == {"too few"}


def test_a_model_whose_training_diverged_has_no_figure_and_leads_nobody() -> None:
    study = small_study()
    labels, scores = drawn(study, "binary_classification")
    scored = models(study, scores)
    lost, nan = scored[0], scored[1]
    diverged = [
        ScoredTraining(
            baseline=lost.baseline, train_patients=7, epsilon=None, noise_multipliers={},
            scores=None,
        ),
        ScoredTraining(
            baseline=nan.baseline, train_patients=7, epsilon=None, noise_multipliers={},
            scores={site: own * np.nan for site, own in scores.items()},
        ),
        *scored[2:],
    ]  # fmt: skip
    found = findings_of(study, dict.fromkeys(study.site_names, 50), labels, diverged)
    for model in found.models[:2]:
        assert "diverged" in model.everybody.note and model.everybody.value is None
    names = {name for lead in found.leads for name in (lead.first, lead.second)}
    assert lost.baseline.key not in names
    json.dumps(found.to_json(), allow_nan=False)
