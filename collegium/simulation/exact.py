"""Exact figures over all hospitals' test patients: possible in a simulation only.

They are computed in a process of their own, so that not even a simulation's
coordinator holds a patient's score.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from protocol.study.study import Study
from protocol.study.task.statistics import Statistics
from silos.training.ray_runtime import ray


@ray.remote(num_cpus=0, resources={"exact figures": 1})  # one such process is enough
def exact_figures(actors: dict[str, Any], run_id: str, study: Study, model: Any) -> dict[str, Any]:
    """Returns the task's exact figures, pooled, per site and per group, and patient counts."""
    import numpy as np

    answers = ray.get([actor.ask("exact_scores", run_id, model) for actor in actors.values()])
    exact, sites = _exact_of(study), {}
    for site, (scores, labels, _, train_patients, test_patients) in zip(
        actors, answers, strict=True
    ):
        sites[site] = {
            **{name: found for name, found in exact(scores, labels).items() if name != "columns"},
            "train_patients": train_patients,
            "test_patients": test_patients,
        }
    scores = np.concatenate([answer[0] for answer in answers])
    labels = np.concatenate([answer[1] for answer in answers])
    return {**exact(scores, labels), "sites": sites, "groups": list(_of_groups(study, answers))}


def _of_groups(study: Study, answers: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Yields the exact figures of each group, over the hospitals that count groups."""
    import numpy as np

    exact = _exact_of(study)
    counted = [answer for answer in answers if answer[2].shape[1]]
    if not counted:
        return
    scores, labels, places = (np.concatenate(each) for each in list(zip(*counted, strict=True))[:3])
    for at, (name, grouping) in enumerate(study.evaluation.groups.items()):
        for place, group in enumerate(grouping.groups):
            chosen = places[:, at] == place
            found = exact(scores[chosen], labels[chosen])
            yield {"grouping": name, "group": group, "patients": int(chosen.sum()), **found}


def _exact_of(study: Study) -> Callable[[Any, Any], Mapping[str, Any]]:
    """Returns how exact figures follow from patients' scores and labels, or from their values."""
    from pipelines.cohort.column_counter import ColumnCounter
    from pipelines.tasks.registry import task_of

    if isinstance(study.task, Statistics):
        counter = ColumnCounter(study.task, study.cohort)
        return lambda values, _labels: counter.exact(values)
    return task_of(study.task, study.cohort).exact
