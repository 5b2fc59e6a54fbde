"""A released model as a torch module, and the inputs on which its forms are compared.

Torch is imported when a model is built, and not before.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from protocol.study.study import Study
from protocol.vectors.tensors import Tensors

if TYPE_CHECKING:
    from torch import nn

#: Of the seed of the inputs that forms are compared on; int8 is calibrated on others.
_COMPARED, _CALIBRATED = 1_000_003, 2_000_003
#: The tasks of which every output is the logit of a probability.
_LOGITS = frozenset({"binary_classification", "multilabel_classification"})


@dataclass(frozen=True, kw_only=True)
class BuiltModel:
    r"""A model that is ready to compute.

    Attributes:
        module: in evaluation mode, on the processor.
        shape: of one encoded record.
        inputs: (records, \*shape) float32, drawn from what the study declares: no patient's.
        calibration: others, drawn likewise.
        outputs: (records, ...) what the module gives for ``inputs``.
        gives_probabilities: whether each output is a logit.
    """

    module: "nn.Module"
    shape: tuple[int, ...]
    inputs: NDArray[np.float32]
    calibration: NDArray[np.float32]
    outputs: NDArray[np.float32]
    gives_probabilities: bool


def built_model(study: Study, model: Tensors) -> BuiltModel:
    """Returns a study's network with a model's parameters.

    Raises:
        StudyRefused: the study starts from pretrained parameters, or takes code from a recipe,
            which is not at hand.
        MessageRefused: the parameters are not this network's.
    """
    from pipelines.networks.networks import build, load_parameters
    from pipelines.networks.reference_inputs import reference_inputs

    module = build(study.task, study.cohort, study.seeds.model)
    load_parameters(module, model)
    module.eval()
    seed = study.seeds.model
    inputs, calibration = (
        reference_inputs(study.cohort, seed + more) for more in (_COMPARED, _CALIBRATED)
    )
    return BuiltModel(
        module=module,
        shape=study.cohort.record_form,
        inputs=inputs,
        calibration=calibration,
        outputs=outputs_of(module, inputs),
        gives_probabilities=study.task.kind in _LOGITS,
    )


def outputs_of(module: Any, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    r"""Returns what a module gives for (records, \*shape) inputs, as float32."""
    import torch

    with torch.no_grad():
        found = module(torch.from_numpy(np.ascontiguousarray(inputs)))
    return np.asarray(found.detach().cpu().numpy(), dtype=np.float32)
