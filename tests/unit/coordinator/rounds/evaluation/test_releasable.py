"""The names that a preregistration may use are those that an evaluation releases, of every task."""

import numpy as np
import pytest

from compliance.facts.dossier.preregistration.releasable import outcome_names, released_names
from compliance.facts.named_figures import RISK_FIGURES
from coordinator.rounds.evaluation.registry import released_of
from coordinator.rounds.evaluation.released import NoisedCounts, Released
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.vectors.evaluation import COUNT_UNITS
from protocol.vectors.score_grid import ScoreGrid
from tests.support.simulated.studies import STATISTICS_STUDY, SURVIVAL_STUDY, TABLE_STUDY
from tests.unit.coordinator.rounds.evaluation.test_task_figures import study_of

GROUPED = TABLE_STUDY.replace(
    "{bins: 8}", "{bins: 8, groups: {age: {column: age, edges: [50]}}, %s}"
)
STUDIES = {
    "binary": read_study(TABLE_STUDY),
    "bins of hospitals and groups": read_study(GROUPED % "site_bins: 4, group_bins: 4"),
    "tables of groups": read_study(GROUPED % "group_bins: 2"),
    "several classes": study_of("multiclass_classification"),
    "findings": study_of("multilabel_classification"),
    "regression": study_of("regression"),
    "survival": read_study(SURVIVAL_STUDY),
    "statistics": read_study(STATISTICS_STUDY),
}


def released(study: Study) -> Released:
    """An evaluation of drawn counts, without noise."""
    vector, random = study.evaluation_vector, np.random.default_rng(1)
    total = random.integers(20, 40, vector.size) * COUNT_UNITS
    cells = random.integers(20, 40, vector.own_cells) * COUNT_UNITS
    own = vector.read_own(tuple(map(int, cells)))
    return released_of(
        study,
        NoisedCounts(
            pooled=vector.read(total),
            deviation=0.0,
            groups=vector.read_groups(total),
            tables={"east": own},
            table_deviations={"east": 0.0},
            grids={"east": ScoreGrid()},
        ),
    )


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_a_criterion_may_name_every_figure_that_is_released_and_no_other(study: Study) -> None:
    found, names = released(study), released_names(study)
    risks = set() if found.risks is None else set(RISK_FIGURES)
    assert set(names["all"]) == set(found.figures) | risks
    assert set(names["every_hospital"]) == set(found.sites["east"])
    for group in found.groups:
        assert set(names["every_group"]) <= set(group.figures)
    assert {"auroc" in one.figures for one in found.groups} <= {"auroc" in names["every_group"]}
    told = {one.outcome for one in found.outcomes}
    assert set(outcome_names(study)) <= told and bool(told) == bool(outcome_names(study))
    for outcome in found.outcomes:
        assert set(names["outcome"]) == set(outcome.figures)
