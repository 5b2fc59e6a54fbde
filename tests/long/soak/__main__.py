"""``python -m tests.long.soak [--rounds 2000] [--silos 100]``: prints what long and wide runs took.

``--rounds``: one simulated run of so many rounds, with every protection. After
the first tenth its memory must stay within 5 % until the end.
``--silos``: one round of so many light hospitals, several in each process.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from protocol.study.study_file import read_study
from tests import ROOT
from tests.bench import studies
from tests.long.soak.memory import Sample, watched

_FLAT = 0.05
_MAX_GB = 12.0


def main() -> int:
    """Runs what was asked for; returns 1 when a bound was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--silos", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=3600.0)
    chosen = parser.parse_args()
    broken = False
    if chosen.rounds:
        found = soak(chosen.rounds, chosen.seconds)
        broken |= abs(found["drift"]) > _FLAT
        sys.stdout.write(json.dumps(found) + "\n")
    if chosen.silos:
        found = wide(chosen.silos, chosen.seconds)
        broken |= found["peak_gb"] > _MAX_GB
        sys.stdout.write(json.dumps(found) + "\n")
    return int(broken)


def soak(rounds: int, seconds: float) -> dict[str, Any]:
    """Returns how far memory moved between the second tenth and the last tenth of a long run."""
    text = studies.tabular_text(rounds=rounds, steps=1).replace("epsilon: 4", "epsilon: 40")
    samples: list[Sample] = []
    run = _simulated(text, 1.0, seconds, samples)
    busy = [sample for sample in samples if sample.processes == _usual(samples)]
    tenth = max(1, len(busy) // 10)
    first, last = busy[tenth : 2 * tenth], busy[-2 * tenth : -tenth]
    early, late = (statistics.median(s.total for s in part) for part in (first, last))
    return {
        "grew_mb": _grown(first[0], last[-1]),
        "rounds": run["rounds"],
        "seconds": run["seconds"],
        "ms_per_round": round(1e3 * run["seconds"] / rounds, 1),
        "early_gb": round(early / 2**30, 3),
        "late_gb": round(late / 2**30, 3),
        "drift": round(late / early - 1, 4),
    }


def _grown(first: Sample, last: Sample) -> dict[str, float]:
    """Returns by how many MB each process grew that grew by more than one."""
    grown = {
        f"{name} {number}": round((last.sizes[number, name] - size) / 2**20, 1)
        for (number, name), size in first.sizes.items()
        if (number, name) in last.sizes
    }
    return {name: size for name, size in grown.items() if abs(size) > 1}


def wide(silos: int, seconds: float) -> dict[str, float]:
    """Returns the time and the peak memory of one round with many hospitals."""
    text = studies.tabular_text(rounds=1, steps=1)
    sites = "\n".join(
        f"  - {{name: site{place:03d}, records: site{place:03d}.csv, patients: 150}}"
        for place in range(silos)
    )
    before, _, rest = text.partition("sites:\n")
    after = rest[rest.index("task:") :].replace("{threshold: 3, colluders: 1}", "{colluders: 10}")
    samples: list[Sample] = []
    run = _simulated(f"{before}sites:\n{sites}\n{after}", 0.5, seconds, samples)
    return {
        "silos": len(run["sites"]),
        "processes": max(sample.processes for sample in samples),
        "command_seconds": round(max(sample.seconds for sample in samples), 1),
        "run_seconds": run["seconds"],
        "peak_gb": round(max(sample.total for sample in samples) / 2**30, 2),
    }


def _simulated(text: str, every: float, seconds: float, samples: list[Sample]) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="collegium-soak-") as folder:
        place = Path(folder)
        (place / "study.yaml").write_text(text)
        studies.write_hospitals(place, read_study(text))
        command = [
            sys.executable, "-m", "collegium", "simulate", str(place / "study.yaml"),
            "--data", folder, "--out", str(place / "out"), "--json",
        ]  # fmt: skip
        done = watched(command, ROOT, every, seconds, samples.append)
    if done.returncode != 0:
        raise RuntimeError(done.stderr[-2000:])
    run: dict[str, float] = json.loads(done.stdout)
    return run


def _usual(samples: list[Sample]) -> int:
    """Returns how many processes there were most of the time: start and end are left out."""
    return statistics.mode(sample.processes for sample in samples)


if __name__ == "__main__":
    raise SystemExit(main())
