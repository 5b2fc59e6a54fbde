"""Measured figures of the worked templates: read from the record that a measurement wrote.

Only runs make them: ``python -m tests.long.templates`` runs every template on its records with
several seeds and writes ``library/figures.json``.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from statistics import fmean
from typing import Any

from collegium.studies.authoring.worked.catalogue import LIBRARY
from compliance.facts.figures import TASK_FIGURES
from compliance.facts.formatting import show
from protocol.counted import counted

FILE = LIBRARY / "figures.json"


@dataclass(frozen=True, kw_only=True)
class MeasuredFigure:
    """The figures that the runs of one template reached on public records.

    Attributes:
        task: the kind of task; its headline figure was measured.
        epsilon: what each patient was promised; None where the study promises nothing.
        seeds: of the model, one run each.
        exact: the exact figure of every run, over all test patients: a simulation's alone.
        released: the same as released, under its noise; None where it was withheld.
        patients: test patients, or all where columns are counted.
        study: the digest of the study document that was run.
        records: the SHA-256 of every file of records.
        versions: of what computed it.
        command: what measured it.
    """

    task: str
    epsilon: float | None
    seeds: tuple[int, ...]
    exact: tuple[float, ...]
    released: tuple[float | None, ...]
    patients: int
    study: str
    records: Mapping[str, str]
    versions: Mapping[str, str]
    command: str

    @property
    def mean(self) -> float:
        """The mean of the exact figures."""
        return fmean(self.exact)

    @property
    def title(self) -> str:
        """The figure's title, as people read it."""
        return TASK_FIGURES[self.task].headline.title

    @property
    def said(self) -> str:
        """The figure in a line, with its spread over the seeds and what was promised.

        >>> MeasuredFigure(
        ...     task="binary_classification", epsilon=1.0, seeds=(1, 2), exact=(0.87, 0.89),
        ...     released=(0.9, None), patients=254, study="", records={}, versions={}, command="",
        ... ).said
        'AUROC 0.880 (0.870 to 0.890, 2 seeds), epsilon 1'
        """
        form = TASK_FIGURES[self.task].headline.form
        promised = "no privacy" if self.epsilon is None else f"epsilon {self.epsilon:g}"
        if self.task == "statistics":
            runs = ("withheld" if one is None else show(one, form) for one in self.released)
            said = f"{show(self.mean, form)} {self.title}, released {', '.join(runs)}"
            return f"{said}; {promised}"
        mean, low, high = (show(f(self.exact), form) for f in (fmean, min, max))
        seeds = counted(len(self.seeds), "seed")
        spread = seeds if len(self.seeds) == 1 else f"{low} to {high}, {seeds}"
        return f"{self.title} {mean} ({spread}), {promised}"

    def to_json(self) -> dict[str, Any]:
        """Returns it as it stands in the record."""
        return asdict(self)


@cache
def measured_figures() -> Mapping[str, MeasuredFigure]:
    """Returns the recorded figures by the templates' names."""
    read = json.loads(FILE.read_text(encoding="utf-8"))
    return {name: _figure(said) for name, said in read.items()}


def _figure(said: dict[str, Any]) -> MeasuredFigure:
    lists = {key: tuple(said[key]) for key in ("seeds", "exact", "released")}
    return MeasuredFigure(**(said | lists))
