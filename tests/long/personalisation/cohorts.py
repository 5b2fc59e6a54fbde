"""Private studies whose hospitals differ, with records that stand here."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from collegium.simulation.baselines.scoring import Hospitals
from collegium.simulation.records import read_hospitals
from pipelines.records import Records
from protocol.study.study import Study
from protocol.study.study_file import read_study, read_study_file
from tests.long.results.cohorts import BREAST_CANCER, DATA, EXAMPLES, HEART, Cohort
from tests.long.results.cohorts import breast_cancer as breast_cancer_without_privacy
from tests.long.results.cohorts import heart_disease as heart_disease_without_privacy

X_RAYS = "chest X-rays"
#: The figure that FLamby compares on heart disease, which also says where a model's zero lies.
HEART_ACCURACY = f"{HEART}, accuracy"
_SITES = 8
#: What a hospital's scanner makes of an image: contrast, and brightness in units of the input.
_SCANNERS = ((1.0, 0.0), (0.6, -0.5), (1.4, 0.5), (0.8, 0.8), (1.2, -0.8), (0.5, 0.4), (1.0, 1.0),
             (0.7, -1.0))  # fmt: skip


def heart_disease(figure: str = "auroc") -> Cohort:
    """Returns heart disease in four hospitals, of which each has its own case mix."""
    found = heart_disease_without_privacy()
    study = read_study_file(EXAMPLES / "heart-disease" / "study.yaml")
    return replace(found, study=study, figure=figure)


def breast_cancer() -> Cohort:
    """Returns survival with breast cancer in six regions."""
    found = breast_cancer_without_privacy()
    return replace(found, study=read_study_file(EXAMPLES / "breast-cancer-survival" / "study.yaml"))


def x_rays() -> Cohort:
    """Returns pneumonia on chest X-rays in eight hospitals of unequal prevalence and scanners."""
    text = (EXAMPLES / "pneumonia" / "study.yaml").read_text(encoding="utf-8")
    shares = [0.2, 0.2, 0.15, 0.15, 0.1, 0.08, 0.07, 0.05]
    sites = [f"  - {{name: site-{place}, patients: 4000}}" for place in range(_SITES)]
    before, _, after = text.partition("  - {name: north")
    text = before + "\n".join(sites) + "\n\npartition:" + after.partition("\npartition:")[2]
    skew = f"shares: {shares}, concentration: 20"
    text = text.replace("shares: [0.34, 0.28, 0.23, 0.15], concentration: 20", skew)
    text = text.replace("threshold: 3", "threshold: 6").replace("[8, 16]", "[4, 8]")
    study = read_study(text)
    hospitals = read_hospitals(study, None, DATA / "pneumoniamnist")
    counts = {site: train.num_patients for site, (train, _) in hospitals.items()}
    declared = tuple(
        site.model_copy(update={"patients": counts[site.name]}) for site in study.sites
    )
    return Cohort(
        name=X_RAYS,
        study=study.replaced(sites=declared),
        hospitals=_scanned(study, hospitals),
        figure="auroc",
    )


def _scanned(study: Study, hospitals: Hospitals) -> Hospitals:
    found = {}
    for site, (contrast, brightness) in zip(study.site_names, _SCANNERS, strict=True):
        train, test = hospitals[site]
        found[site] = (_seen(train, contrast, brightness), _seen(test, contrast, brightness))
    return found


def _seen(records: Records, contrast: float, brightness: float) -> Records:
    whole: NDArray[np.float32] = np.asarray(records.features[:])
    return replace(records, features=np.clip(whole * contrast + brightness, -2, 2))


COHORTS: Mapping[str, Callable[[], Cohort]] = {
    HEART: heart_disease,
    HEART_ACCURACY: partial(heart_disease, "accuracy"),
    BREAST_CANCER: breast_cancer,
    X_RAYS: x_rays,
}
