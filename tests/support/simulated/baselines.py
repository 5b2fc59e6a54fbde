"""BaselineFindings of a comparison with baselines, of scores that are drawn."""

import functools

import numpy as np

from collegium.simulation.baselines.judging import findings_of
from collegium.simulation.baselines.plan import baselines_of
from collegium.simulation.baselines.run import trainings_of
from collegium.simulation.baselines.scoring import ScoredTraining
from compliance.facts.comparison.baselines import LOCAL, BaselineFindings
from protocol.study.study import Study
from tests.support.simulated.studies import small_study

PATIENTS = 60


def findings_for(study: Study) -> BaselineFindings:
    """Returns findings in which a hospital alone guesses, and ``west`` has one class only."""
    random = np.random.default_rng(1)
    labels = {site: (random.random(PATIENTS) < 0.5).astype(float) for site in study.site_names}
    labels["west"][:] = 1.0

    def scored(kind: str) -> dict[str, np.ndarray]:
        if kind == LOCAL:
            return {site: random.normal(size=PATIENTS) for site in labels}
        return {site: own * 3 + random.normal(size=PATIENTS) for site, own in labels.items()}

    return findings_of(
        study,
        dict.fromkeys(study.site_names, 40),
        labels,
        [
            ScoredTraining(
                baseline=b, draw=draw, train_patients=40, epsilon=4.0 if b.noised else None,
                noise_multipliers={"east": 2.0} if b.noised else {}, scores=scored(b.kind),
            )
            for b, draw in trainings_of(baselines_of(study), 3)
        ],
    )  # fmt: skip


@functools.cache
def few_findings() -> BaselineFindings:
    """Returns the findings of the small study."""
    return findings_for(small_study())
