"""The norm of a logit's gradient: how far one step along it can move that patient."""

import math

import numpy as np
import torch
from torch import nn

from pipelines.networks.networks import build
from protocol.study.study import Study

_RECORDS = 64


def gradient_norm(study: Study) -> float:
    """Returns the norm of the gradient of a record's logit at the study's start.

    Records are drawn from the standard normal distribution, as a cohort whose columns
    declare their centre and scale has them; the middle one of their norms is returned.
    A linear model's would be the square root of its inputs + 1.
    """
    cohort = study.cohort
    shape = cohort.record_form
    drawn = np.random.default_rng(study.seeds.model).standard_normal((_RECORDS, *shape))
    module = build(study.task, cohort, study.seeds.model)
    norms = [_norm(module, record) for record in torch.tensor(drawn, dtype=torch.float32)]
    return max(1.0, float(np.median(norms)))


def _norm(module: nn.Module, record: torch.Tensor) -> float:
    parameters = list(module.parameters())
    gradients = torch.autograd.grad(module(record[None]).sum(), parameters)
    return math.sqrt(sum(float(gradient.square().sum()) for gradient in gradients))
