"""Exact figures over all hospitals' test patients: possible in a simulation only.

They are computed in a process of their own, so that not even a simulation's
coordinator holds a patient's score.
"""

from typing import Any

from silos.training.ray_runtime import ray


@ray.remote(num_cpus=0, resources={"exact figures": 1})  # one such process is enough
def exact_figures(seats: dict[str, Any], run_id: str, model: Any) -> dict[str, Any]:
    """Returns the pooled and per-site AUROC and accuracy, and patient counts."""
    import numpy as np

    from pipelines.evaluation.metrics import accuracy, auroc

    answers = ray.get([seat.ask("exact_scores", run_id, model) for seat in seats.values()])
    sites = {}
    for site, (logits, labels, train_patients, test_patients) in zip(seats, answers, strict=True):
        sites[site] = {
            "auroc": auroc(logits, labels),
            "accuracy": accuracy(logits, labels),
            "train_patients": train_patients,
            "test_patients": test_patients,
        }
    logits = np.concatenate([answer[0] for answer in answers])
    labels = np.concatenate([answer[1] for answer in answers])
    return {"auroc": auroc(logits, labels), "accuracy": accuracy(logits, labels), "sites": sites}
