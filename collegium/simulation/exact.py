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
    """Returns the task's exact figures, pooled, per site and per group, and patient counts.

    Where hospitals use models of their own, all are of these; ``global_model`` has those of the
    global one beside them.
    """
    import numpy as np

    answers = ray.get([actor.ask("exact_scores", run_id, model) for actor in actors.values()])
    exact, sites = _exact_of(study), {}
    for site, (scores, labels, _, train_patients, test_patients, _) in zip(
        actors, answers, strict=True
    ):
        sites[site] = {
            **{name: found for name, found in exact(scores, labels).items() if name != "columns"},
            "train_patients": train_patients,
            "test_patients": test_patients,
        }
    scores = np.concatenate([answer[0] for answer in answers])
    labels = np.concatenate([answer[1] for answer in answers])
    found = {**exact(scores, labels), "sites": sites, "groups": list(_of_groups(study, answers))}
    if any(answer[5] is not None for answer in answers):
        by_global = [answer[0] if answer[5] is None else answer[5] for answer in answers]
        of_sites = {
            site: exact(scores, answer[1])
            for site, scores, answer in zip(actors, by_global, answers, strict=True)
        }
        found["global_model"] = {**exact(np.concatenate(by_global), labels), "sites": of_sites}
    return found


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
