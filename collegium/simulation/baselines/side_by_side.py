"""Trainings side by side, in processes that each hold all hospitals' records.

The process that asks holds neither torch nor a record, nor any patient's score: only figures come
back.
"""

import itertools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from collegium.output.progress import Watching
from protocol.errors import FederationError
from protocol.study.study import Study
from silos.training.ray_runtime import here, ray

#: What a trainer's ``train`` is given for one training.
Job: TypeAlias = tuple[Any, ...]


class RecordsHolder:
    """All hospitals' records and test patients, read when they are first needed.

    A trainer adds ``train``, which returns a refusal and what it scored, and ``found``, which makes
    figures of all that was scored.
    """

    def __init__(self, study: Study, data: Path | None, index: bytes | None) -> None:
        self._study, self._data, self._index = study, data, index
        self._hospitals: Any = None
        self._patients: Any = None

    def _ready(self) -> None:
        from collegium.simulation.baselines.scoring import TestPatients
        from collegium.simulation.records import read_hospitals

        if self._hospitals is None:
            self._hospitals = read_hospitals(self._study, self._index, self._data)
            self._patients = TestPatients(self._study, self._hospitals)


def figures_of(
    trainer: Any,
    made_of: tuple[Study, Path | None, bytes | None],
    jobs: Sequence[Job],
    told: Callable[[Job], str],
    progress: Watching,
) -> Any:
    """Returns what a trainer's ``found`` gives for all jobs, trained by as many as have a core.

    Args:
        trainer: an actor's class, of a ``RecordsHolder``.
        made_of: what each is made of; the data folder is resolved here.
        jobs: the trainings.
        told: what is said of one that is done.
        progress: told of each.

    Raises:
        FederationError: a training was refused.
    """
    study, data, index = made_of
    count = min(len(jobs), len(os.sched_getaffinity(0)))
    trainers = [
        trainer.options(scheduling_strategy=here()).remote(study, data and data.resolve(), index)
        for _ in range(count)
    ]
    asked = [
        one.train.options(num_returns=2).remote(*job)
        for one, job in zip(itertools.cycle(trainers), jobs, strict=False)
    ]
    waiting = {refusal: job for (refusal, _), job in zip(asked, jobs, strict=True)}
    while waiting:
        (ended,), _ = ray.wait(list(waiting), num_returns=1)
        error = ray.get(ended)
        if isinstance(error, FederationError):
            raise error
        progress.run_finished(told(waiting.pop(ended)))
    progress.say("figures and their intervals")
    return ray.get(trainers[0].found.remote(*(scored for _, scored in asked)))
