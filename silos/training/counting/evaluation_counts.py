"""Noised counts and table of one hospital in an evaluation.

The noise is full at every hospital: it does not lean on the secure sum.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from compliance.privacy.noise import DiscreteGaussian
from protocol.study.strategies.registry import personal_model
from protocol.study.study import Study
from protocol.vectors.evaluation import COUNT_UNITS
from protocol.vectors.ring_bounds import COUNT_LIMIT
from protocol.vectors.tensors import Tensors, model_digest
from silos.training.randomness import DrawContext, Entropy, RoundInput

Ints = NDArray[np.int64]


class Scorer(Protocol):
    """The part of a trainer that an evaluation needs."""

    dataset_digest: str

    def counts(self, model: Tensors, own: Tensors | None = None) -> tuple[Ints, Ints, Ints]:
        """Returns the task's counts, four own ones, and two public numbers; see ``Trainer``."""


def noised_counts(
    study: Study,
    site: str,
    scorer: Scorer,
    given: RoundInput,
    entropy: Entropy,
) -> NDArray[np.int64]:
    """Returns the counts and, behind them, the hospital's own table and the grid of the counts.

    Counts are in units of a patient; what stands behind them follows from the model alone.

    Args:
        study, site: whose evaluation it is.
        scorer: counts the test patients.
        given: the model that is evaluated, the round that all noise belongs to, and the
            noise multiplier of counts and table together; None gives them bare.
        entropy: where the noise comes from.

    Guarantee: with a multiplier z, a Gaussian mechanism of multiplier z for one patient.
    """
    own = personal_model(study.training, given.model, given.own)
    counts, table, grid = scorer.counts(given.model, own)
    cells_of = {"pooled": counts.reshape(-1), "table": table.reshape(-1)}
    if given.noise_multiplier is not None:
        share = study.evaluation.site_share
        deviations = study.evaluation_vector.deviations(given.noise_multiplier, share)
        for (use, cells), deviation in zip(cells_of.items(), deviations, strict=True):
            draw = DrawContext(
                use=use, study=study.digest, site=site, round_kind="evaluation", round=given.number,
                attempt=given.attempt, step=0, dataset=scorer.dataset_digest,
                model=model_digest(given.model), sample="",
            )  # fmt: skip
            sampler = DiscreteGaussian(deviation * COUNT_UNITS)
            cells_of[use] = cells + sampler.sample(entropy.stream(draw), len(cells))
    noised = np.concatenate([*cells_of.values(), grid])
    # Saturated, not refused: a refusal would tell something about the patients, uncharged.
    return np.asarray(np.clip(noised, -COUNT_LIMIT, COUNT_LIMIT))
