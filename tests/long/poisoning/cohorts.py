"""The two bundled cohorts, partitioned anew among nine hospitals in three groups."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from collegium.simulation.records import joined, read_hospitals
from pipelines.records import Records
from protocol.study.privacy import NoPrivacy, PerSitePrivacy, Privacy
from protocol.study.study import KeyedHashSplit, Site, Study
from protocol.study.study.sums.robust import RobustRule
from protocol.study.study_file import index_beside, read_study_file
from tests import ROOT

HEART, BREAST_CANCER = "heart disease", "breast cancer"
NAMES = tuple(f"h{place}" for place in range(1, 10))
GROUPS = (NAMES[:3], NAMES[3:6], NAMES[6:])
#: What each hospital promises in the noised runs.
EPSILON, DELTA = 8.0, 1e-3


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """A study without a robust rule, and all training and test records in one place."""

    study: Study
    train: Records
    test: Records

    def partitioned(self, seed: int) -> dict[str, Records]:
        """Returns the training patients of each of the nine, as equal in number as can be."""
        count = self.train.num_patients
        owner = np.random.default_rng(seed).permutation(count) % len(NAMES)
        return {name: self._of(owner == place) for place, name in enumerate(NAMES)}

    def _of(self, chosen: np.ndarray) -> Records:
        return self.train.take(chosen[self.train.patients])


def in_groups(study: Study) -> Study:
    """Returns the study under the median of three groups."""
    return study.replaced(robust=RobustRule(rule="median", groups=GROUPS))


def noised(study: Study) -> Study:
    """Returns the study with each hospital's own noise."""
    return study.replaced(privacy=_noise())


def _noise() -> Privacy:
    return PerSitePrivacy(
        mode="per_site", epsilon=EPSILON, delta=DELTA, clip=1.0, sampling_rate=1.0
    )


def heart_disease() -> Cohort:
    """Returns the 740 patients of heart disease, with the split that stands beside them."""
    path = ROOT / "examples" / "heart-disease" / "study-no-privacy.yaml"
    study, data = read_study_file(path), ROOT / "collegium" / "studies" / "heart_disease"
    return _cohort(study, index_beside(study, path.parent), data, rounds=10, local_steps=2)


def breast_cancer() -> Cohort:
    """Returns the 569 patients of breast cancer that come with scikit-learn."""
    study = read_study_file(ROOT / "collegium" / "studies" / "breast-cancer.yaml")
    return _cohort(study, None, None, rounds=5, local_steps=2)


def _cohort(study: Study, index: bytes | None, data: object, **training: int) -> Cohort:
    hospitals = read_hospitals(study, index, data)  # type: ignore[arg-type]
    train, test = (joined(part) for part in zip(*hospitals.values(), strict=True))
    patients = -(-train.num_patients // len(NAMES))
    nine = study.replaced(
        sites=tuple(Site(name=name, records=f"{name}.csv", patients=patients) for name in NAMES),
        partition=None,
        split=KeyedHashSplit(),
        privacy=NoPrivacy(mode="none", sampling_rate=1.0),
        training=study.training.model_copy(update={**training, "learning_rate": 1.0}),
        aggregation=study.aggregation.model_copy(update={"threshold": None}),
    )
    return Cohort(study=nine, train=train, test=test)


COHORTS: Mapping[str, Callable[[], Cohort]] = {
    HEART: heart_disease,
    BREAST_CANCER: breast_cancer,
}
