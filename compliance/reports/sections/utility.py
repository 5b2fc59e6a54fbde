"""Utility against epsilon: the runs' points as a drawing, tables and a section."""

from collections.abc import Sequence

from compliance.charts import run as charts
from compliance.charts.descriptions import (
    WITHOUT_PRIVACY,
    describe_utility,
    difference_text,
    gap_text,
    interval_text,
    studies_text,
)
from compliance.facts.comparison.modes import differences, gaps, num_missing, over_of
from compliance.facts.figures import FigureKind
from compliance.facts.formatting import Cell, Format, show
from compliance.facts.privacy_utility import (
    MODES,
    RELEASED,
    UtilityLevel,
    UtilityPoint,
    Withheld,
    compares_modes,
    figure_of,
    means_tell,
    names_studies,
    reasons,
    utility_levels,
    wholly_withheld,
)
from compliance.reports.document import (
    Block,
    Bullets,
    Column,
    Figure,
    Paragraph,
    Section,
    Table,
)


def utility_table(points: Sequence[UtilityPoint], withheld: Sequence[Withheld] = ()) -> Table:
    """Returns mean and range over the runs for each mode, epsilon and kind of figure.

    Beside each mean stands how many runs are missing in it, and why. Released means that
    noise could have drawn are not given.
    """
    figure = figure_of(points)
    of_studies = (Column(title="Study"),) if names_studies((*points, *withheld)) else ()
    lines = [
        (*_protection(level), *_study(level, of_studies), level.kind, level.num_runs,
         level.num_withheld, level.num_next_to_chance,
         level.mean if means_tell(level, points) else None, level.low, level.high, level.why)
        for level in utility_levels(points, withheld)
    ] + [
        (*_protection(group[0]), *_study(group[0], of_studies), RELEASED, 0, len(group), 0, None,
         None, None, reasons(group))
        for group in wholly_withheld(points, withheld)
    ]  # fmt: skip
    return Table(
        title="Utility against epsilon",
        columns=(
            Column(title="Mode"),
            Column(title="ε", form=Format.EPSILON),
            *of_studies,
            Column(title="Figure"),
            Column(title="Runs", form=Format.COUNT),
            Column(title="Withheld", form=Format.COUNT),
            Column(title="Next to chance", form=Format.COUNT),
            Column(title=f"{figure.label}, mean", form=figure.form),
            Column(title=f"{figure.label}, lowest", form=figure.form),
            Column(title=f"{figure.label}, highest", form=figure.form),
            Column(title="Why withheld"),
        ),
        rows=tuple(lines),
        note="Means are over the runs that released a figure; those withheld are in none. "
        f"Released means that noise could have drawn are not given.{_chance_text(figure)}",
    )


def _chance_text(figure: FigureKind) -> str:
    if figure.chance is None:
        return ""
    return (
        f" Next to chance: an exact {figure.title} within 0.05 of {figure.chance:g}, or worse; or "
        f"a released interval that holds {figure.chance:g}."
    )


def _protection(level: UtilityLevel | Withheld) -> tuple[Cell, Cell]:
    return MODES[level.mode], "none: no privacy" if level.epsilon is None else level.epsilon


def _study(level: UtilityLevel | Withheld, named: Sequence[Column]) -> tuple[Cell, ...]:
    return (level.study,) if named else ()


def difference_table(points: Sequence[UtilityPoint], withheld: Sequence[Withheld] = ()) -> Table:
    """Returns what one mode gains over another at the same epsilon, paired over repetitions."""
    return Table(
        title="Modes of privacy against each other",
        columns=(
            Column(title=f"Difference in {figure_of(points).title}"),
            Column(title="Mean", form=Format.RATIO),
            Column(title="95 %, low", form=Format.RATIO),
            Column(title="95 %, high", form=Format.RATIO),
            Column(title=over_of(points).capitalize(), form=Format.COUNT),
            Column(title="Withheld", form=Format.COUNT),
        ),
        rows=tuple(
            (
                difference_text(d),
                d.value.mean,
                d.value.low,
                d.value.high,
                d.value.count,
                num_missing(points, withheld, d.epsilon, d.mode, d.than),
            )  # fmt: skip
            for d in differences(points)
        ),
        note=f"Paired run by run; Student's t. {interval_text(points)}",
    )


def utility_section(points: Sequence[UtilityPoint], withheld: Sequence[Withheld] = ()) -> Section:
    """Returns utility against epsilon over all that asks what this study asks."""
    blocks: tuple[Block, ...]
    if compares_modes(points):
        closed = tuple(
            (f"ε = {show(gap.epsilon, Format.EPSILON)}", gap_text(gap)) for gap in gaps(points)
        )
        said = (Bullets(items=closed),) if closed else ()
        blocks = (
            _utility_figure(points, withheld, _COMPARED),
            *said,
            difference_table(points, withheld),
        )
    elif points and all(point.epsilon is None for point in points):
        text = "Every finished run of this study trained without privacy; collegium sweep adds ε."
        blocks = (Paragraph(text=text), utility_table(points, withheld))
    elif points:
        blocks = (_utility_figure(points, withheld, _one_mode(points)),)
    else:
        blocks = (Paragraph(text="No finished run of this study has a figure to show yet."),)
        if withheld:
            blocks += (utility_table((), withheld),)
    return Section(key="utility", title="Utility against ε", blocks=blocks)


_LINE = (
    "A line joins released means only where those at the smallest and the largest ε differ by "
    "more than the 95 % interval of a difference between two runs."
)
_ONE_MODE = (
    "Each mark is a run; the line is the mean, the band the range of the runs. Released figures "
    "carry the noise that protects test patients, and their 95 % interval, which is about "
    "patients, noise and bins, not about repetitions. "
)


def _one_mode(points: Sequence[UtilityPoint]) -> str:
    """Returns the caption of runs of one mode, with what a released figure is."""
    released_as = figure_of(points).released_as
    return " ".join(filter(None, (_ONE_MODE.strip(), released_as, WITHOUT_PRIVACY, _LINE)))


_COMPARED = (
    "Small marks are single runs, large ones their means; bars and bands are the range of the "
    "runs, figures in brackets the 95 % interval of the mean. The pooled reference (simulation "
    "only) had all hospitals' records in one place: no consortium could run it. "
    + WITHOUT_PRIVACY
    + " "
    + _LINE
)


def _utility_figure(
    points: Sequence[UtilityPoint], withheld: Sequence[Withheld], caption: str
) -> Figure:
    return Figure(
        title="Utility against epsilon",
        svg=charts.to_svg(charts.utility_against_epsilon(points, withheld)),
        alt=describe_utility(points, withheld),
        caption=" ".join(filter(None, (caption, interval_text(points), studies_text(points)))),
        table=utility_table(points, withheld),
    )
