"""What exact discrete Gaussian noise costs for each parameter, beside a float normal."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from compliance.privacy.noise import DiscreteGaussian
from protocol.vectors.keystream import Keystream, fresh_key
from tests.bench.measurement import CPU, OURS, WALL, Row, Target, milliseconds, row_of, take_turns

AREA = "noise"
FLOOR = "numpy normal"
_COUNT = 1_000_000
_SIGMAS = (1e5, 1e6)


def rows(turns: int) -> Iterator[Row]:
    """Yields each sigma on one thread, then the larger on two."""
    for sigma in _SIGMAS:
        yield _row(sigma, 1, turns)
    yield _row(_SIGMAS[-1], 2, turns)


def _row(sigma: float, threads: int, turns: int) -> Row:
    # Another sigma than that of a former row, so that its tables are really built.
    noise = DiscreteGaussian(sigma + threads)
    tables = milliseconds(lambda: noise.sample(Keystream(fresh_key()), 0))
    generator = np.random.default_rng(1)
    with ThreadPoolExecutor(threads) as pool:

        def draw() -> None:
            streams = [Keystream(fresh_key()) for _ in range(threads)]
            list(pool.map(lambda stream: noise.sample(stream, _COUNT // threads), streams))

        works = {OURS: draw, FLOOR: lambda: generator.normal(0.0, sigma, _COUNT)}
        taken = take_turns(works, turns, CPU if threads == 1 else WALL)
    return row_of(
        AREA,
        "one sample per parameter",
        f"sigma={sigma:.0e}, {threads} thread{'s' * (threads > 1)}".replace("e+0", "e"),
        taken,
        unit="us",
        scale=1000 / _COUNT,
        clock="cpu" if threads == 1 else "wall",
        target=Target(most=0.2) if threads == 2 else None,
        parts={"tables, once for a study (whole, us)": tables * 1000},
    )
