"""The network of a study that evaluates a given model: every parameter is the file's."""

from torch import nn

from pipelines.networks.networks import build, load_parameters
from protocol.errors import StudyRefused
from protocol.study.cohort.cohort import Cohort
from protocol.study.task.task import Task
from protocol.vectors.adaptive_clip import without_clip


def given_network(task: Task, cohort: Cohort) -> nn.Module:
    """Returns a network with the parameters of ``task.pretrained``, the last layer's too.

    Guarantee: no parameter is drawn, or set to a declared prevalence.

    Raises:
        StudyRefused: the network does not fit the cohort's records, or the file is not at hand,
            lacks a parameter, holds another, or one of another shape.
    """
    given = task.pretrained
    if given is None:
        raise StudyRefused("task.pretrained: the study names no model to evaluate")
    module = build(task.model_copy(update={"pretrained": None}), cohort, seed=0)
    own = {name: tuple(value.shape) for name, value in module.named_parameters()}
    held = {name: value.shape for name, value in without_clip(given.tensors).items()}
    lacking, unknown = sorted(own.keys() - held.keys()), sorted(held.keys() - own.keys())
    shaped = [name for name in sorted(own.keys() & held.keys()) if own[name] != held[name]]
    for names, said in (
        (lacking, "lacks {0!r}: nothing is trained, so all parameters come from the file"),
        (unknown, "holds {0!r}, which the network has not"),
        (shaped, "holds {0!r} in another shape than the network's"),
    ):
        if names:
            raise StudyRefused(f"task.pretrained: {given.file} {said.format(names[0])}")
    load_parameters(module, given.tensors)
    return module
