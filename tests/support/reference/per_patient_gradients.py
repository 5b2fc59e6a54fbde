"""Oracles: per-patient gradients one backward at a time, and clipping in exact integers."""

import math
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn


def one_at_a_time(
    module: nn.Module, features: torch.Tensor, labels: torch.Tensor, patients: list[int]
) -> NDArray[np.float64]:
    """Returns (patients, parameters): a plain backward for every single record, then means."""
    gradients: dict[int, list[NDArray[np.float64]]] = {}
    for place, patient in enumerate(patients):
        module.zero_grad()
        logit = module(features[place : place + 1]).reshape(())
        nn.functional.binary_cross_entropy_with_logits(logit, labels[place]).backward()
        named = sorted(module.named_parameters())
        parts = [p.grad.reshape(-1).numpy().astype(np.float64) for _, p in named]
        gradients.setdefault(patient, []).append(np.concatenate(parts))
    module.zero_grad()
    return np.stack([np.mean(own, axis=0) for own in gradients.values()])


def exact_norm_squared(vector: NDArray[np.int64]) -> int:
    """Returns the squared L2 norm in Python integers, which cannot overflow."""
    return sum(int(entry) ** 2 for entry in vector.tolist())


def clipped_exactly(row: NDArray[np.floating], clip: float, units: int) -> list[int]:
    """Returns what one patient's integers should be, by rational arithmetic."""
    exact = [Fraction(float(entry)) for entry in row]
    squared = sum(entry * entry for entry in exact)
    limit = Fraction(clip) * (1 - Fraction(1, 10**6))
    scale = Fraction(units) / Fraction(clip)
    if squared > limit * limit:
        scale *= limit / Fraction(math.sqrt(squared))
    return [math.trunc(entry * scale) for entry in exact]
