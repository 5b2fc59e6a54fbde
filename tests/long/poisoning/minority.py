"""A hospital whose patients nobody else treats: what a mean learns of them, and what a median."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Records
from protocol.study.study import Study
from tests.long.poisoning.cohorts import NAMES, Cohort
from tests.long.poisoning.training import risks_of, trained

#: By name: the column of the encoded records of heart disease, and the value that the patients of
#: the first hospital have and all others have not.
MINORITIES: Mapping[str, tuple[int, float]] = {"women": (1, 0.0), "atypical angina": (2, 1.0)}
ROUNDS = 20


def _are(minority: str, records: Records) -> NDArray[np.bool_]:
    """Returns which records are of such patients; one row is one patient."""
    column, value = MINORITIES[minority]
    return np.asarray(records.features[:, column] == value)


def set_apart(cohort: Cohort, minority: str, seed: int) -> dict[str, Records]:
    """Returns the training patients: such patients at the first hospital, others elsewhere."""
    random, most = np.random.default_rng(seed), cohort.study.sites[0].patients
    inside = _are(minority, cohort.train)
    own, others = (random.permutation(np.flatnonzero(one)) for one in (inside, ~inside))
    places = {NAMES[0]: own[:most]}
    for place, name in enumerate(NAMES[1:]):
        places[name] = others[place :: len(NAMES) - 1][:most]
    return {name: cohort.train.take(np.sort(chosen)) for name, chosen in places.items()}


def told(cohort: Cohort, study: Study, minority: str, seed: int) -> tuple[float, float, float]:
    """Returns of such test patients the mean risk told, the part who are ill, and the accuracy."""
    longer = study.training.model_copy(update={"rounds": ROUNDS})
    study = study.replaced(training=longer)
    hospitals = set_apart(cohort, minority, seed)
    risks = risks_of(cohort, study, trained(study, hospitals, cohort.test, {}, seed))
    own = _are(minority, cohort.test)
    ill = cohort.test.labels[own] > 0
    return float(risks[own].mean()), float(ill.mean()), float(((risks[own] > 0.5) == ill).mean())
