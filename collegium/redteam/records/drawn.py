"""Records that no patient gave, for a training that stands in for one of real hospitals.

Inputs are drawn from what the study declares, labels without regard to them: nothing can be learned
of such records but by heart, so what a model knows of them it has kept.
"""

import numpy as np

from collegium.redteam.records.together import Parts
from pipelines.networks.reference_inputs import reference_inputs
from pipelines.records import Records
from pipelines.tasks.registry import task_of
from protocol.study.study import Study

#: Of a larger hospital so many training patients are drawn; of every one so many test patients.
_MOST, _TESTED = 2000, 128


def drawn_hospitals(study: Study, random: np.random.Generator) -> dict[str, Parts]:
    """Returns drawn training and test records of every hospital, one for each patient."""
    found = {}
    for site in study.sites:
        whole = _drawn(study, min(_MOST, site.patients) + _TESTED, random)
        is_test = whole.patients < _TESTED
        found[site.name] = (whole.take(~is_test), whole.take(is_test))
    return found


def _drawn(study: Study, count: int, random: np.random.Generator) -> Records:
    parts, have = [], 0
    while have < count:
        parts.append(reference_inputs(study.cohort, int(random.integers(1 << 31))))
        have += len(parts[-1])
    places = np.arange(count, dtype=np.int64)
    return Records(
        features=np.concatenate(parts)[:count],
        labels=task_of(study.task, study.cohort).drawn_labels(random, count),
        patients=places,
        patient_keys=tuple(f"drawn {place}" for place in places.tolist()),
        rows=places,
    )
