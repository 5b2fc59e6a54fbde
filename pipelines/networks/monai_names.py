"""Parameters of a study's network by the names that MONAI's own class gives them.

Weights that were learned elsewhere bear MONAI's names. A study's network has the same, but where
it holds MONAI's as a part of itself, and without those that the loss reaches no parameter of.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from pipelines.networks.architecture import FirstOutput
from pipelines.networks.registry import ARCHITECTURES
from pipelines.networks.repairs import repaired
from pipelines.tasks.registry import task_of
from protocol.study.cohort.cohort import Cohort
from protocol.study.task.task import Task


@dataclass(frozen=True, kw_only=True)
class MonaiNames:
    """MONAI's names of a network's parameters.

    Attributes:
        own: the study's name of each parameter, by MONAI's.
        shapes: of each parameter, by MONAI's name.
        unused: those of MONAI's that the study's network does without: nothing uses them.
        aliases: further names of a parameter that has several, with the one that counts.
    """

    own: Mapping[str, str]
    shapes: Mapping[str, tuple[int, ...]]
    unused: frozenset[str]
    aliases: Mapping[str, str]


def monai_names(task: Task, cohort: Cohort) -> MonaiNames:
    """Returns MONAI's names of the parameters of a network that ``networks.build`` builds."""
    outputs = task_of(task, cohort).outputs
    with torch.device("meta"):
        made = ARCHITECTURES[type(task.network)].build(task.network, cohort.record_form, outputs)
        inner = "network." if isinstance(made, FirstOutput) else ""
        before = [name for name, _ in made.named_parameters()]
        module = repaired(made)
    after = dict(module.named_parameters())
    first = {id(parameter): name for name, parameter in after.items()}
    every = module.named_parameters(remove_duplicate=False)
    return MonaiNames(
        own={name.removeprefix(inner): name for name in after},
        shapes={name.removeprefix(inner): tuple(value.shape) for name, value in after.items()},
        unused=frozenset(name.removeprefix(inner) for name in before if name not in after),
        aliases={
            name.removeprefix(inner): first[id(value)].removeprefix(inner)
            for name, value in every
            if name not in after
        },
    )
