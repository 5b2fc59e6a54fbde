"""Writes concordance.json: drawn patients, and the c-index that other libraries find for them.

Needs lifelines and torchsurv, which nothing else here does:
    pip install lifelines torchsurv && python tests/unit/pipelines/evaluation/make_concordance.py
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np


def drawn(seed: int) -> dict[str, object]:
    import torch
    from lifelines.utils import concordance_index
    from torchsurv.metrics.cindex import ConcordanceIndex

    random = np.random.default_rng(seed)
    count = int(random.integers(5, 120))
    times = random.exponential(10, count).round(int(random.integers(0, 3))) + 1
    scores = (random.normal(size=count) - 0.05 * times).round(int(random.integers(0, 3)))
    events = random.random(count) < random.uniform(0.2, 0.9)
    events[0], times[0] = True, 1.0
    found = ConcordanceIndex()(
        torch.tensor(scores), torch.tensor(events), torch.tensor(times), weight=None
    )
    return {
        "scores": scores.tolist(),
        "times": times.tolist(),
        "events": events.tolist(),
        "lifelines": float(concordance_index(times, -scores, events)),
        "torchsurv": float(found),
    }


if __name__ == "__main__":
    made = {name: version(name) for name in ("lifelines", "torchsurv")}
    document = {"made": made, "cases": [drawn(seed) for seed in range(12)]}
    Path(__file__).with_name("concordance.json").write_text(json.dumps(document) + "\n")
