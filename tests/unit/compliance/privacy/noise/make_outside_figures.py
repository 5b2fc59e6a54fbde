"""Writes outside_figures.json: what jax-privacy finds of matrices, their noise and their price.

Needs this library, which nothing else here does:
    pip install "jax-privacy>=2.0.0"
    python tests/unit/compliance/privacy/noise/make_outside_figures.py
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np


def prices() -> list[dict[str, Any]]:
    """Returns epsilons of cyclic Poisson sampling by PLD, in cycles of ``bands`` steps."""
    from jax_privacy.accounting import accountants, analysis

    accountant = analysis.DpsgdTrainingAccountant(accountants.PldAccountantConfig())
    found = []
    for multiplier, patients, batch, steps, bands in (
        (1.2, 3200, 100, 128, 8), (1.343, 3200, 100, 128, 32), (0.9, 1000, 100, 40, 4),
        (2.0, 1000, 50, 200, 1), (2.0, 1000, 50, 200, 10), (6.0, 400, 50, 160, 8),
    ):  # fmt: skip
        parameters = analysis.DpParams(
            noise_multipliers=multiplier, num_samples=patients, delta=1e-5, batch_size=batch,
            cycle_length=bands,
        )  # fmt: skip
        found.append(
            {
                "noise_multiplier": multiplier,
                "sampling_rate": batch / patients,
                "steps": steps,
                "bands": bands,
                "epsilon": float(accountant.compute_epsilon(steps, parameters)),
            }  # fmt: skip
        )
    return found


def sensitivities() -> list[dict[str, Any]]:
    """Returns drawn matrices of a cycle, and how far a patient of every cycle moves them all."""
    from jax_privacy.matrix_factorization import sensitivity

    random, found = np.random.default_rng(0), []
    for bands, cycles in ((2, 3), (4, 5), (7, 2)):
        rows = np.tril(random.integers(0, 30, size=(bands, bands))) + 10 * np.eye(bands, dtype=int)
        whole = np.kron(np.eye(cycles), rows / 64)
        found.append(
            {
                "rows": [row[: place + 1].tolist() for place, row in enumerate(rows.astype(int))],
                "cycles": cycles,
                "fixed_order": float(sensitivity.fixed_epoch_sensitivity(whole, cycles)),
                "once": float(sensitivity.single_participation_sensitivity(whole)),
            }
        )
    return found


def errors() -> list[dict[str, Any]]:
    """Returns the mean squared error of the best matrix of a cycle, and of a banded Toeplitz."""
    import jax
    from jax_privacy.matrix_factorization import dense, toeplitz

    jax.config.update("jax_enable_x64", True)
    found = []
    for rounds, bands, momentum in (
        (1, 2, 0.0),
        (1, 8, 0.0),
        (1, 8, 0.9),
        (1, 16, 0.5),
        (10, 8, 0.0),
    ):
        lag = np.arange(bands)[:, None] - np.arange(bands)
        moves = np.where(lag >= 0, (1 - momentum ** (np.maximum(lag, 0) + 1.0)) / (1 - momentum), 0)
        one: dict[str, Any] = {"rounds": rounds, "bands": bands, "momentum": momentum}
        if rounds == 1:
            matrix = np.asarray(dense.optimize(bands, A=moves))
            matrix = matrix / np.linalg.norm(matrix, axis=0)
            one["optimal"] = float(((moves @ np.linalg.inv(matrix)) ** 2).sum() / bands)
        if not momentum:
            coefficients = toeplitz.optimize_banded_toeplitz(rounds * bands, bands)
            one["toeplitz"] = float(toeplitz.loss(coefficients, rounds * bands))
        found.append(one)
    return found


if __name__ == "__main__":
    figures = {
        "jax_privacy": version("jax-privacy"),
        "prices": prices(),
        "sensitivities": sensitivities(),
        "errors": errors(),
    }
    path = Path(__file__).with_name("outside_figures.json")
    path.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
