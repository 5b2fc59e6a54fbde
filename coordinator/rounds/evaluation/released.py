"""The released figures of an evaluation, and what they are read from."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from compliance.estimates.binned_scores.calibration import CalibrationPoint
from compliance.estimates.binned_scores.calibration_line import Recalibration
from compliance.estimates.binned_scores.operating_points import OperatingPoint
from compliance.estimates.binned_scores.risk_figures import RiskFigures
from compliance.estimates.column_figures import ColumnFigures
from compliance.estimates.drift.histograms import NoisedHistogram
from compliance.estimates.groups import GroupFigures, number_of_patients
from compliance.estimates.interval import Interval
from compliance.estimates.outcomes.outcome_figures import OutcomeFigures
from protocol.study.study import Study
from protocol.vectors.score_grid import ScoreGrid, agreed_grid

Floats: TypeAlias = NDArray[np.float64]
#: Figures by name (``compliance.facts.figures``).
Figures: TypeAlias = Mapping[str, Interval]


@dataclass(frozen=True, kw_only=True)
class NoisedCounts:
    """The noised counts of an evaluation, in patients.

    Attributes:
        pooled: the secure sum, in the shape of the task's ``EvaluationVector``.
        deviation: the noise deviation of each of its numbers.
        groups: of each grouping, the (groups, ...) counts of its groups in the sum.
        tables: the own counts that each site in the sum has signed.
        table_deviations: the noise deviation of each number of a site's own counts.
        grids: where each site's bins lie.
    """

    pooled: Floats
    deviation: float
    groups: tuple[Floats, ...]
    tables: Mapping[str, Floats]
    table_deviations: Mapping[str, float]
    grids: Mapping[str, ScoreGrid]

    @property
    def grid(self) -> ScoreGrid:
        """The grid on which most of the sites counted."""
        return agreed_grid([*self.grids.values()])

    @property
    def sites(self) -> Mapping[str, "PartCounts"]:
        """The counts of each site's own patients."""
        return {
            site: PartCounts(cells, self.table_deviations[site], self.grids[site])
            for site, cells in self.tables.items()
        }

    @property
    def own(self) -> "PartCounts":
        """The sum of the sites' own counts."""
        deviation = math.sqrt(sum(one**2 for one in self.table_deviations.values()))
        return PartCounts(np.sum(list(self.tables.values()), axis=0), deviation, self.grid)


class PartCounts(NamedTuple):
    """The noised counts of a part of the patients: a hospital's, or those of a group.

    Attributes:
        cells: in the shape of ``EvaluationVector.own_shape`` or ``group_shape``, in patients.
        deviation: the noise deviation of each.
        grid: where bins of scores lie.
    """

    cells: Floats
    deviation: float
    grid: ScoreGrid


def all_patients(part: PartCounts) -> Interval:
    """Returns how many patients there are where each counts in one cell."""
    return number_of_patients(float(part.cells.sum()), part.deviation, part.cells.size)


def patients_first(part: PartCounts) -> Interval:
    """Returns how many patients there are where the first number counts them."""
    return number_of_patients(float(part.cells[0]), part.deviation)


@dataclass(frozen=True, kw_only=True)
class EvaluationReader:
    """A task's figures, as functions of its noised counts.

    Attributes:
        pooled: of a study and its counts, the figures of all test patients together.
        part: the figures of one site's own counts, or of a group's.
        patients: how many patients a group's counts are of.
        group: the figures of a group's counts where these hold more than a site's; None where
            they are of one kind.
        groups_add_up: whether the hospitals counted groups in the same bins; None where they
            always do.
        risks: of a study and its counts, what they say of the model's risks; None for a
            task whose model gives none.
        operating_points: of a study and its counts, what the model does at each threshold; None
            for a task without thresholds.
        columns: of a study and its counts, the figures of the columns that it counts; None for a
            task of a model.
        calibration: of a study and its counts, the points of the calibration curve; None for a
            task whose model gives no risks.
        recalibration: of the counts and the pooled figures, the line on which risks are right;
            None for such a task.
        histograms: of a study and its counts, what a monitoring study compares with its reference;
            None of others.
        outcomes: of a study and its counts, the figures of each class, finding or time; None for a
            task of one outcome.
    """

    pooled: Callable[[Study, NoisedCounts], Figures]
    part: Callable[[Study, PartCounts], Figures]
    patients: Callable[[PartCounts], Interval] = all_patients
    group: Callable[[Study, PartCounts], Figures] | None = None
    groups_add_up: Callable[[Study, NoisedCounts], bool] | None = None
    risks: Callable[[Study, NoisedCounts], RiskFigures] | None = None
    operating_points: Callable[[Study, NoisedCounts], tuple[OperatingPoint, ...]] | None = None
    columns: Callable[[Study, NoisedCounts], tuple[ColumnFigures, ...]] | None = None
    calibration: Callable[[Study, NoisedCounts], tuple[CalibrationPoint, ...]] | None = None
    recalibration: Callable[[NoisedCounts, Figures], Recalibration | None] | None = None
    histograms: Callable[[Study, NoisedCounts], tuple[NoisedHistogram, ...]] | None = None
    outcomes: Callable[[Study, NoisedCounts], tuple[OutcomeFigures, ...]] | None = None


@dataclass(frozen=True, kw_only=True)
class Released:
    """The released figures of the evaluation round.

    Attributes:
        figures: of all test patients together.
        sites: of each hospital's own table, with its noise.
        groups: of the groups that the study asks for; those that are too small are withheld.
        risks: of a model that gives risks; None of others.
        operating_points: of a model with thresholds, by rising threshold; none of others.
        columns: of the columns that a statistics study counts; none of others.
        calibration: of a model that gives risks, its curve by rising risk; none of others.
        recalibration: the line on which its risks would be right; None where none is known.
        histograms: of a monitoring study's columns, with their noise; none of others.
        outcomes: of each class, finding or time; none of a task of one outcome.
    """

    figures: Figures
    sites: Mapping[str, Figures]
    groups: tuple[GroupFigures, ...] = ()
    risks: RiskFigures | None = None
    operating_points: tuple[OperatingPoint, ...] = ()
    columns: tuple[ColumnFigures, ...] = ()
    calibration: tuple[CalibrationPoint, ...] = ()
    recalibration: Recalibration | None = None
    histograms: tuple[NoisedHistogram, ...] = ()
    outcomes: tuple[OutcomeFigures, ...] = ()


def released_json(released: Released) -> dict[str, Any]:
    """Returns the released figures as the store keeps them; undone by ``released_from``."""
    several = {
        name: [one.to_json() for one in getattr(released, name)]
        for name in (
            "groups",
            "operating_points",
            "columns",
            "calibration",
            "histograms",
            "outcomes",
        )  # fmt: skip
    }
    return {
        "figures": _kept(released.figures),
        "risks": None if released.risks is None else asdict(released.risks),
        "sites": {site: _kept(figures) for site, figures in released.sites.items()},
        **{name: found for name, found in several.items() if found},
        **({"recalibration": line.to_json()} if (line := released.recalibration) else {}),
    }


def _kept(figures: Figures) -> dict[str, Any]:
    return {name: asdict(figure) for name, figure in figures.items()}


def released_from(kept: Mapping[str, Any]) -> Released:
    """Returns the released figures that the store keeps."""
    return Released(
        figures=figures_from(kept["figures"]),
        risks=risks_from(kept["risks"]),
        sites={site: figures_from(figures) for site, figures in kept["sites"].items()},
        groups=groups_from(kept),
        operating_points=points_from(kept),
        columns=columns_from(kept),
        calibration=calibration_from(kept),
        recalibration=recalibration_from(kept),
        histograms=histograms_from(kept),
        outcomes=outcomes_from(kept),
    )


def figures_from(kept: Mapping[str, Any]) -> dict[str, Interval]:
    """Returns figures that the store keeps, by name."""
    return {name: Interval(**figure) for name, figure in kept.items()}


def groups_from(kept: Mapping[str, Any]) -> tuple[GroupFigures, ...]:
    """Returns the figures of groups that the store keeps; none of a study without groups."""
    return tuple(GroupFigures.from_json(group) for group in kept.get("groups", ()))


def columns_from(kept: Mapping[str, Any]) -> tuple[ColumnFigures, ...]:
    """Returns the figures of columns that the store keeps; none of a study of a model."""
    return tuple(ColumnFigures.from_json(column) for column in kept.get("columns", ()))


def histograms_from(kept: Mapping[str, Any]) -> tuple[NoisedHistogram, ...]:
    """Returns the noised histograms that the store keeps; none but of a monitoring study."""
    return tuple(NoisedHistogram.from_json(one) for one in kept.get("histograms", ()))


def outcomes_from(kept: Mapping[str, Any]) -> tuple[OutcomeFigures, ...]:
    """Returns the figures of outcomes that the store keeps; none of a task of one outcome."""
    return tuple(OutcomeFigures.from_json(outcome) for outcome in kept.get("outcomes", ()))


def points_from(kept: Mapping[str, Any]) -> tuple[OperatingPoint, ...]:
    """Returns the operating points that the store keeps; none of a task without thresholds."""
    return tuple(OperatingPoint.from_json(point) for point in kept.get("operating_points", ()))


def recalibration_from(kept: Mapping[str, Any]) -> Recalibration | None:
    """Returns the line on which risks are right, if the store keeps one."""
    found = kept.get("recalibration")
    return None if found is None else Recalibration.from_json(found)


def calibration_from(kept: Mapping[str, Any]) -> tuple[CalibrationPoint, ...]:
    """Returns the calibration curve that the store keeps; none of a task without risks."""
    return tuple(CalibrationPoint.from_json(point) for point in kept.get("calibration", ()))


def risks_from(kept: Mapping[str, Any] | None) -> RiskFigures | None:
    """Returns what the store keeps of a model's risks."""
    if kept is None:
        return None
    shift, figures = kept["shift"], {k: figure for k, figure in kept.items() if k != "shift"}
    return RiskFigures(shift=shift, **figures_from(figures))
