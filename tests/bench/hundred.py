"""``python -m tests.bench.hundred``: a round of 100 silos with 10**6 parameters, as JSON."""

import json
import resource
import sys
import time

import numpy as np

from protocol.secagg.server import Step
from tests.support.simulated.sum_federation import Federation


def main() -> None:
    """Prints the seconds and the peak memory of the whole round in one process."""
    started = time.perf_counter()
    federation = Federation(100, {"dim": 10**6, "bound": "8.0"})
    vector = np.random.default_rng(1).integers(-99, 99, 10**6).astype(np.uint32)
    vectors = dict.fromkeys(federation.sites, vector)
    total = federation.run(vectors, lost={"site-99": Step.MASKED})
    if not np.array_equal(total, vector * np.uint32(99)):
        raise ValueError("the sum is wrong")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    seconds = time.perf_counter() - started
    sys.stdout.write(json.dumps({"seconds": round(seconds, 1), "peak_gb": round(peak, 2)}) + "\n")


if __name__ == "__main__":
    main()
