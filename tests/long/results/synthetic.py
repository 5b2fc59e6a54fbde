"""Strategies on the synthetic benchmarks: ``python -m tests.long.results synthetic``."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from collegium.simulation.baselines.scoring import TestPatients
from collegium.simulation.comparison.plan import variants
from collegium.simulation.records import read_hospitals
from collegium.studies.authoring.synthetic import KINDS, SyntheticOptions, synthetic_files
from protocol.study.study_file import read_study_file
from tests.long.results.choosing import figures

STRATEGIES = ("fedavg", "scaffold", "mrmtl:pull=0", "mrmtl:pull=0.1", "mrmtl:pull=1")
#: Benchmarks of one kind are drawn so many times.
DRAWS = 5


def reached(kind: str, strategy: str, draw: int) -> float:
    """Returns the mean of the hospitals' AUROC on a benchmark that is drawn with a seed."""
    with tempfile.TemporaryDirectory() as own:
        for name, text in synthetic_files(SyntheticOptions(kind=kind, seed=draw)).items():
            (Path(own) / name).write_text(text, encoding="utf-8")
        study = read_study_file(Path(own) / "study.yaml")
        hospitals = read_hospitals(study, None, Path(own))
    (variant, *_) = variants(study, [strategy], 1)
    _, found = figures(study, hospitals, TestPatients(study, hospitals), variant)
    return float(np.mean([found[site]["auroc"] or np.nan for site in hospitals]))


def lines() -> Iterator[str]:
    """Yields a line of the table for each benchmark."""
    for kind in KINDS:
        means = [
            np.mean([reached(kind, strategy, draw) for draw in range(1, DRAWS + 1)])
            for strategy in STRATEGIES
        ]
        yield f"| `{kind}` | {' | '.join(f'{mean:.3f}' for mean in means)} |"
