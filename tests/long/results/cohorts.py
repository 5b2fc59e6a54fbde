"""The two studies of FLamby that stand here, without privacy, and what it published of them.

Source: du Terrail et al. 2022, NeurIPS (FLamby), datasets fed_heart_disease and fed_tcga_brca; the
published figures are means and deviations of the five seeds in its results folder at edacf54d.
"""

import runpy
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from collegium.simulation.baselines.scoring import Hospitals
from collegium.simulation.records import read_hospitals
from pipelines.records import Records
from protocol.study.privacy import NoPrivacy
from protocol.study.study import Study
from protocol.study.study_file import index_beside, read_study_file
from tests import ROOT

BREAST_CANCER, HEART = "TCGA-BRCA", "heart disease"
EXAMPLES, DATA = ROOT / "examples", ROOT.parent / "shared" / "data"
#: Mean and deviation of five seeds on all test patients: accuracy; c-index.
PUBLISHED: Mapping[str, Mapping[str, tuple[float, float]]] = {
    HEART: {
        "fedavg": (0.7480, 0.0268), "fedprox": (0.7480, 0.0268), "scaffold": (0.7480, 0.0268),
        "fedadam": (0.7787, 0.0146), "fedyogi": (0.7787, 0.0153), "fedadagrad": (0.7787, 0.0153),
        "pooled records": (0.7953, 0.0028),
    },
    BREAST_CANCER: {
        "fedavg": (0.7353, 0.1750), "fedprox": (0.7167, 0.1621), "scaffold": (0.6995, 0.0347),
        "fedadam": (0.8421, 0.0168), "fedyogi": (0.8421, 0.0166), "fedadagrad": (0.8338, 0.0075),
        "pooled records": (0.7041, 0.1144),
    },
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """A study's hospitals, with the split that FLamby has.

    Attributes:
        name: as in ``PUBLISHED``.
        study: without privacy.
        hospitals: training and test records.
        figure: the figure that FLamby has a table of.
    """

    name: str
    study: Study
    hospitals: Hospitals
    figure: str

    def folds(self, count: int, seed: int) -> list[Hospitals]:
        """Returns the training patients, so many times parted anew: nobody else is looked at."""
        random, parts = np.random.default_rng(seed), {}
        for site, (train, _) in self.hospitals.items():
            parts[site] = random.permutation(train.num_patients) % count
        return [
            {site: _parted(self.hospitals[site][0], own == fold) for site, own in parts.items()}
            for fold in range(count)
        ]


def _parted(records: Records, held_out: np.ndarray) -> tuple[Records, Records]:
    tested = held_out[records.patients]
    return records.take(~tested), records.take(tested)


def heart_disease() -> Cohort:
    """Returns Fed-Heart-Disease: four hospitals, 486 and 254 patients."""
    path = EXAMPLES / "heart-disease" / "study-no-privacy.yaml"
    study, data = read_study_file(path), ROOT / "collegium" / "studies" / "heart_disease"
    hospitals = read_hospitals(study, index_beside(study, path.parent), data)
    return Cohort(name=HEART, study=study, hospitals=hospitals, figure="accuracy")


def breast_cancer() -> Cohort:
    """Returns Fed-TCGA-BRCA: six regions, 866 and 222 patients."""
    folder = EXAMPLES / "breast-cancer-survival"
    prepare = runpy.run_path(str(folder / "prepare.py"))
    private = read_study_file(folder / "study.yaml")
    study = private.replaced(privacy=NoPrivacy(mode="none", sampling_rate=1.0))
    with tempfile.TemporaryDirectory() as own:
        prepare["joined"](DATA / "tcga_brca").to_csv(Path(own) / "breast-cancer.csv", index=False)
        hospitals = read_hospitals(study, None, Path(own))
    return Cohort(name=BREAST_CANCER, study=study, hospitals=hospitals, figure="c_index")


COHORTS: Mapping[str, Callable[[], Cohort]] = {HEART: heart_disease, BREAST_CANCER: breast_cancer}
