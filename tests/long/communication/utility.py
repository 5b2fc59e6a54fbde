"""Figures of shipped studies in each form, on the same patients and with the same noise."""

import runpy
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from collegium.simulation.baselines.scoring import Hospitals, TestPatients
from collegium.simulation.comparison.plan import variants
from collegium.simulation.records import read_hospitals
from protocol.study.privacy import NoPrivacy
from protocol.study.study import Study
from protocol.study.study_file import index_beside, read_study_file
from protocol.vectors.keystream import Keystream
from silos.training.randomness import DrawContext, FixedEntropy
from tests import ROOT
from tests.long.communication.forms import FORMS
from tests.long.results.choosing import figures

_EXAMPLES, _DATA = ROOT / "examples", ROOT.parent / "shared" / "data"


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """A shipped study: where it lies, which figure is its headline, and over how many seeds."""

    study: str
    figure: str
    seeds: int


#: Digits without privacy, by a network of 52,314 parameters.
WIDE = "digits, wide network without privacy"
STUDIES: Mapping[str, Shipped] = {
    "heart disease": Shipped(study="heart-disease/study.yaml", figure="AUROC", seeds=10),
    "heart disease without privacy": Shipped(
        study="heart-disease/study-no-privacy.yaml", figure="AUROC", seeds=3
    ),
    "digits": Shipped(study="digits/study.yaml", figure="accuracy", seeds=3),
    "pneumonia": Shipped(study="pneumonia/study.yaml", figure="AUROC", seeds=1),
    WIDE: Shipped(study="digits/study.yaml", figure="accuracy", seeds=3),
}


class SameNoise(FixedEntropy):
    """Draws the same patients and noise in every form, whose digests differ."""

    def stream(self, draw: DrawContext) -> Keystream:
        return super().stream(replace(draw, study="", model="", sample=""))


def study_of(name: str) -> Study:
    """Returns a shipped study; of ``WIDE`` with a network whose bytes are worth saving."""
    study = read_study_file(_EXAMPLES / STUDIES[name].study)
    if name != WIDE:
        return study
    network = study.task.network.model_copy(update={"hidden_channels": (400, 64)})
    return study.replaced(
        task=study.task.model_copy(update={"network": network}),
        privacy=NoPrivacy(mode="none", sampling_rate=1.0),
        training=study.training.model_copy(update={"learning_rate": 0.2, "average_last": 1}),
    )


def hospitals_of(name: str) -> Hospitals:
    """Returns each hospital's training and test records."""
    study, path = study_of(name), _EXAMPLES / STUDIES[name].study
    with _records(name) as folder:
        return read_hospitals(study, index_beside(study, path.parent), folder)


@contextmanager
def _records(name: str) -> Iterator[Path]:
    if name.startswith("heart"):
        yield ROOT / "collegium" / "studies" / "heart_disease"
    elif name == "pneumonia":
        yield _DATA / "pneumoniamnist"
    else:
        with tempfile.TemporaryDirectory() as folder:
            table = runpy.run_path(str(_EXAMPLES / "digits" / "prepare.py"))["table"]()
            table.to_csv(Path(folder) / "digits.csv", index=False)
            yield Path(folder)


def reached(name: str, hospitals: Hospitals, form: str, seeds: int) -> float:
    """Returns the headline figure on all test patients, in the mean over so many seeds."""
    study = study_of(name).replaced(communication=FORMS[form])
    patients = TestPatients(study, hospitals)
    found = []
    for variant in variants(study, [study.training.strategy], seeds)[:seeds]:
        entropy = SameNoise(variant.seed, simulated=True)
        headline, _ = figures(study, hospitals, patients, variant, entropy)
        if not np.isfinite(headline):
            raise ValueError(f"{name}, {form}: training diverged")
        found.append(headline)
    return float(np.mean(found))
