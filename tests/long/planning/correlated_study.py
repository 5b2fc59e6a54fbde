"""``python -m tests.long.planning.correlated_study``: correlated noise in the heart disease study.

The hospitals' own trainer, exact noise and sums of the ring, at the study's split: four passes of
32 steps at epsilon 8, with 32 bands and with independent noise. The rate of each is the best of a
grid on other seeds. AUROC on all test patients, and the paired gain with its 95 % interval (t).
"""

import numpy as np

from collegium.simulation.baselines.scoring import Hospitals
from collegium.simulation.baselines.training import trained_together
from collegium.simulation.records import read_hospitals
from pipelines.evaluation.metrics import auroc
from protocol.study.privacy import CorrelatedNoise, PerSitePrivacy
from protocol.study.strategies.registry import changed
from protocol.study.study import Study
from protocol.study.study_file import index_beside, read_study_file
from silos.training.randomness import FixedEntropy
from silos.training.trainer import Trainer
from tests import ROOT
from tests.long.planning.correlated import told

PASSES, STEPS, EPSILON, RATES = 4, 32, 8.0, (0.3, 1.0, 3.0)
_TUNED_ON, _TRAINED_ON = range(4), range(100, 140)
_PATH = ROOT / "examples" / "heart-disease" / "study.yaml"


def planned(study: Study, bands: int, rate: float) -> Study:
    """Returns the study with these passes, this rate and so many bands."""
    training = changed(
        study.training, strategy="fedavg", rounds=PASSES, local_steps=STEPS, learning_rate=rate
    )
    privacy = PerSitePrivacy(
        mode="per_site", epsilon=EPSILON, delta=1e-5, clip=1.0, sampling_rate=1 / STEPS,
        correlated_noise=CorrelatedNoise(bands=bands) if bands > 1 else None,
    )  # fmt: skip
    return study.replaced(training=training, privacy=privacy)


def aurocs(study: Study, hospitals: Hospitals, seeds: range) -> np.ndarray:
    """Returns the AUROC on all test patients, by seed."""
    trainers = {site: Trainer(study, site, *hospitals[site]) for site in study.site_names}
    found = []
    for seed in seeds:
        model = trained_together(study, trainers, FixedEntropy(seed, simulated=True)).model
        scores, labels = zip(*(one.patient_scores(model) for one in trainers.values()), strict=True)
        found.append(auroc(np.concatenate(scores), np.concatenate(labels)))
    return np.array(found)


if __name__ == "__main__":
    heart = read_study_file(_PATH)
    data = ROOT / "collegium" / "studies" / "heart_disease"
    hospitals = read_hospitals(heart, index_beside(heart, _PATH.parent), data)
    reached = {}
    for bands in (1, 32):
        each = [planned(heart, bands, rate) for rate in RATES]
        best = max(each, key=lambda one: aurocs(one, hospitals, _TUNED_ON).mean())
        reached[bands] = aurocs(best, hospitals, _TRAINED_ON)
        rate = best.training.learning_rate
        print(f"{bands} bands, rate {rate:g}: {reached[bands].mean():.4f}", flush=True)
    print(f"gain {told(reached[32] - reached[1])}")
