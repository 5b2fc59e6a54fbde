"""Whether the time of a step tells that an unusual patient was in it.

The patient is in about half of the steps. A threshold on the time is chosen on the other
half of the measurements (and the other way round); chance is right in half of the guesses.
The attacker is the one with the better clock of two: the wall's, and the processor time of
the hospital's own process, which nobody outside can see.
"""

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from pipelines.records import Records
from protocol.study.study import Study
from silos.training.randomness import RoundInput, SecretEntropy
from silos.training.steps.step_form import Drawn, StepForm
from silos.training.trainer import Trainer
from silos.training.worker import Floats, Worker
from tests.bench import studies
from tests.bench.measurement import OURS, Row, Target, row_of

AREA = "step-time"
_PATIENTS = 40
_MAX_RECORDS = 7
_WARM_UP = 20

#: What is unusual about the patient: how many images, and what their values are multiplied by.
UNUSUAL = {
    "seven images, others one": (_MAX_RECORDS, 1.0),
    "values below the normal range": (1, 1e-39),
    "values near the end of the range": (1, 1e37),
}


class _Watching(Worker):
    """A worker that sees whether the last patient's first record is in the step."""

    has_unusual = False

    def clipped(
        self, parameters: Floats, drawn: Drawn, clip: float, count: int = 0
    ) -> NDArray[np.int64]:
        present = drawn.records[drawn.weights > 0]
        self.has_unusual = bool((present == _PATIENTS - 1).any())
        return super().clipped(parameters, drawn, clip, count)


def rows(steps: int) -> Iterator[Row]:
    """Yields, for each kind of unusual patient, how many of 100 guesses are right."""
    study = studies.imaging(
        micro_batch=64, side=16, rate=0.5, patients=_PATIENTS, max_records=_MAX_RECORDS
    )
    for kind, (count, factor) in UNUSUAL.items():
        was_in, times = _measured(study, count, factor, steps)
        right = [guessed_right(was_in, each) * 100 for each in times.T]
        yield row_of(
            AREA,
            "right guesses of who was drawn, by a step's time",
            f"{kind}; {steps} steps with and without",
            {OURS: [max(right)], "chance": [50.0]},
            unit="%",
            target=Target(most=55.0),
            parts={"by wall clock": right[0], "by processor time": right[1]},
        )


def _measured(
    study: Study, count: int, factor: float, steps: int
) -> tuple[NDArray[np.bool_], Floats]:
    """Returns in which of 2 x ``steps`` steps the patient was, and their (wall, CPU) times."""
    records, site = _records(study, count, factor), study.site_names[0]
    worker = _Watching(study, StepForm.of(study, site), records.features, records.labels)
    trainer = Trainer(study, site, records, records, worker)
    model, entropy = trainer.initial_model(), SecretEntropy()
    was_in, times = [], []
    for number in range(_WARM_UP + 2 * steps):
        wall, cpu = time.perf_counter(), time.process_time()
        trainer.update(RoundInput(model=model, number=number, noise_multiplier=1.0), entropy)
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
        was_in.append(worker.has_unusual)
    return np.array(was_in[_WARM_UP:]), np.array(times[_WARM_UP:])


def _records(study: Study, count: int, factor: float) -> Records:
    """Returns patients with one image each, and a last one that is unusual."""
    records = studies.drawn_records(study, _PATIENTS, [1] * (_PATIENTS - 1) + [count])
    records.features[_PATIENTS - 1 :] *= np.float32(factor)
    return records


def guessed_right(was_in: NDArray[np.bool_], times: Floats) -> float:
    """Returns the part of the steps that a threshold on the time, set on other steps, tells."""
    even = np.arange(len(times)) % 2 == 0
    right = 0
    for known in (even, ~even):
        limit, longer = _threshold(was_in[known], times[known])
        right += int((((times[~known] > limit) == longer) == was_in[~known]).sum())
    return right / len(times)


def _threshold(was_in: NDArray[np.bool_], times: Floats) -> tuple[float, bool]:
    """Returns the limit that tells best, and whether steps with the patient are the longer ones."""
    order = np.argsort(times)
    found = was_in[order]
    right = np.concatenate([[0], np.cumsum(~found)]) + np.concatenate(
        [np.cumsum(found[::-1])[::-1], [0]]
    )  # of guesses "in" above each limit
    longer = right.max() >= len(times) - right.min()
    place = int(right.argmax() if longer else right.argmin())
    limits = np.concatenate([[-np.inf], times[order]])
    return float(limits[place]), bool(longer)
