"""A model that is long enough for a line to be cut in the middle of it."""

import numpy as np
from numpy.typing import NDArray

from protocol.vectors.tensors import Tensors
from tests.support.simulated.federation import LinearTrainer

#: Parameters that nothing depends on: 50 kB of a model.
_BALLAST = 12_500


class WideTrainer(LinearTrainer):
    """The same regression with ballast, whose gradients are zero and whose noise is not."""

    def initial_model(self) -> Tensors:
        return {"ballast": np.zeros(_BALLAST, dtype=np.float32), **super().initial_model()}

    def _gradients(self, model: Tensors) -> NDArray[np.float64]:
        own = super()._gradients(model)
        return np.hstack([np.zeros((len(own), _BALLAST)), own])
