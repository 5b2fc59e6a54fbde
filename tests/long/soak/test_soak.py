"""The short form of ``make soak``: what a round leaves behind in memory does not add up."""

import gc
import tracemalloc
from pathlib import Path

from protocol.study.study_file import read_study
from tests.support.simulated.federation import Federation, Watch
from tests.support.simulated.studies import TABLE_STUDY

ROUNDS = 8
#: Python's sqlite3 keeps 200 references to past cursors for each connection, 18 kB, before it drops
#: them; there are eight connections, and they drop them at other times.
CURSORS = 256_000


class Scales(Watch):
    """Weighs everything Python holds after each round."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[int] = []

    def round_finished(self, round_kind: str, number: int, survivors: tuple[str, ...]) -> None:
        if number in (ROUNDS // 2, ROUNDS - 1):
            gc.collect()  # what waits for the collector is no leak
        self.weights.append(tracemalloc.get_traced_memory()[0])


def test_memory_is_flat_over_many_rounds(tmp_path: Path) -> None:
    training = f"rounds: {ROUNDS}, local_steps: 1"
    text = TABLE_STUDY.replace("rounds: 2, local_steps: 2", training)
    study = read_study(text.replace("epsilon: 4", "epsilon: 10"))
    federation = Federation(tmp_path, study)
    federation.watch = scales = Scales()
    federation.link.seen = _Forgetful()
    tracemalloc.start()
    try:
        federation.run()
    finally:
        tracemalloc.stop()
    settled, last = scales.weights[ROUNDS // 2], scales.weights[ROUNDS - 1]
    assert len(scales.weights) == ROUNDS + 1
    assert abs(last - settled) < CURSORS


class _Forgetful(list):  # type: ignore[type-arg]
    """The test's own record of what left; it would be the only thing that grows."""

    def append(self, _seen: object) -> None:
        return
