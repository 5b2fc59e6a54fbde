"""Draws utility against epsilon for one mode of privacy, or hands several to ``modes``."""

import itertools
import math
from collections.abc import Sequence

import altair as alt

from compliance.charts.descriptions import describe_utility
from compliance.charts.modes import log_domain, modes_against_epsilon, modes_at_one_epsilon
from compliance.charts.theme import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LONG_NAMES,
    VERMILLION,
    Chart,
    Rows,
    axis_title,
    data,
    domain_of,
    finished,
    kind_colour,
    kind_shape,
    tick_format,
)
from compliance.facts.privacy_utility import (
    EXACT,
    NO_BETTER,
    RELEASED,
    UtilityLevel,
    UtilityPoint,
    Withheld,
    best_known,
    compares_modes,
    figure_of,
    means_tell,
    names_studies,
    studies_in,
    utility_levels,
)

#: More released runs than these at one epsilon are drawn as their range, and small marks in it.
MAX_SINGLE = 8
#: Of studies, each in turn: Okabe and Ito's colours, and shapes of exact and released figures.
COLOURS = (BLUE, VERMILLION, GREEN, GREY)
SHAPES = {EXACT: ("diamond", "triangle-down", "cross", "stroke"),
          RELEASED: ("circle", "square", "triangle-up", "wedge")}  # fmt: skip
#: Runs stand so far apart, as a logarithm; a place is at most so wide to either side.
_STEP, _MOST_ROOM, _PART_OF_GAP = 0.034, 0.25, 0.3


def utility_against_epsilon(
    points: Sequence[UtilityPoint], withheld: Sequence[Withheld] = ()
) -> Chart:
    """Draws the headline figure against epsilon: each run, the mean, the range of the runs.

    A line joins the released means only where ``facts.privacy_utility.supports_line`` says so.
    Studies that differ by more than epsilon and seeds have a colour and a shape each.

    Runs without privacy have no epsilon to stand above; they become a line
    across. Released figures carry their 95 % intervals. Where modes of privacy
    are compared, it is by the exact figures, if there are any.

    Raises:
        ValueError: there is no run to draw.
    """
    if not points:
        raise ValueError("utility against epsilon needs at least one run")
    if compares_modes(points):
        compared = best_known(points)
        several = len({p.epsilon for p in compared if p.epsilon is not None}) > 1
        draw = modes_against_epsilon if several else modes_at_one_epsilon
        return draw(compared, withheld)
    figure, levels = figure_of(points), utility_levels(points)
    epsilons = sorted({level.epsilon for level in levels if level.epsilon is not None})
    x = (
        alt.X("epsilon:Q", title="ε for one patient (log scale: left is more private)")
        .scale(type="log", domain=log_domain(epsilons), nice=False)
        .axis(values=epsilons or [0.5, 1, 2, 4, 8], format="~g", grid=False)
    )
    scale = alt.Scale(domain=domain_of(figure, _heights(points)), zero=False, nice=False)
    title = axis_title(figure)
    y = alt.Y("value:Q", title=title, scale=scale).axis(format=tick_format(figure))
    joined = [level for level in levels if level.epsilon is not None and means_tell(level, points)]
    style = _styles(points)
    layers = [
        *_band_and_mean(joined, style, x, y),
        *_run_marks([point for point in points if point.epsilon is not None], style, x, y),
        *_reference(levels, y),
    ]
    return finished(layers, describe_utility(points, withheld), height=300)


def _heights(points: Sequence[UtilityPoint]) -> list[float]:
    drawn = [(point.low, point.value, point.high) for point in points]
    return [value for values in drawn for value in values if value is not None]


def _what(one: UtilityPoint | UtilityLevel) -> str:
    """Returns what the legend calls a point: its kind, and its study where several are drawn."""
    return f"{one.study}, {one.kind}" if one.study else one.kind


def _styles(points: Sequence[UtilityPoint]) -> tuple[alt.Color, alt.Shape]:
    """Returns the colours and the shapes of kinds, or of kinds and studies."""
    kinds = sorted({point.kind for point in points})
    if not names_studies(points):
        return kind_colour(kinds), kind_shape(kinds)
    studies = [study for _, study in studies_in(points)]
    drawn = {_what(p): (studies.index(p.study), p.kind) for p in points}
    names = sorted(drawn, key=lambda name: drawn[name])
    colours = [COLOURS[drawn[name][0] % len(COLOURS)] for name in names]
    shapes = [SHAPES[drawn[name][1]][drawn[name][0] % len(SHAPES[EXACT])] for name in names]
    return (
        alt.Color("what:N", title=None, scale=alt.Scale(domain=names, range=colours)).legend(
            LONG_NAMES
        ),
        alt.Shape("what:N", title=None, scale=alt.Scale(domain=names, range=shapes)).legend(
            LONG_NAMES
        ),
    )


def _band_and_mean(
    levels: Sequence[UtilityLevel], style: tuple[alt.Color, alt.Shape], x: alt.X, y: alt.Y
) -> list[alt.Chart]:
    colour, _ = style
    rows: dict[str, Rows] = {EXACT: [], RELEASED: []}
    for level in levels:
        rows[level.kind].append(
            {
                "epsilon": level.epsilon,
                "value": level.mean,
                "low": level.low,
                "high": level.high,
                "what": _what(level),
            }
        )
    low = alt.Y("low:Q", title=y["title"])
    band = data(rows[EXACT]).mark_area(opacity=0.16)
    solid, dashed = (
        data(rows[kind]).mark_line(strokeWidth=2.5, strokeDash=dash)
        for kind, dash in ((EXACT, [1, 0]), (RELEASED, [6, 4]))
    )
    return [
        band.encode(x=x, y=low, y2="high:Q", color=colour),
        solid.encode(x=x, y=y, color=colour),
        dashed.encode(x=x, y=y, color=colour),
    ]


def _run_marks(
    points: Sequence[UtilityPoint], style: tuple[alt.Color, alt.Shape], x: alt.X, y: alt.Y
) -> list[alt.Chart]:
    rows, (colour, shape) = _dodged(points), style
    low = alt.Y("low:Q", title=y["title"])
    many = [row for row in rows if row["many"]]
    return [
        data(_summaries(points))
        .mark_rule(strokeWidth=1.5, opacity=0.5)
        .encode(x=x, y=low, y2="high:Q", color=colour),
        data(_summaries(points))
        .mark_rule(strokeWidth=16, opacity=0.25)
        .encode(x=x, y=alt.Y("least:Q", title=y["title"]), y2="most:Q", color=colour),
        data([row for row in rows if "low" in row and not row["many"]])
        .mark_rule(strokeWidth=1.5, opacity=0.5)
        .encode(x=x, y=low, y2="high:Q", color=colour),
        data(many)
        .mark_point(filled=True, size=16, opacity=0.6)
        .encode(x=x, y=y, color=colour, shape=shape),
        data([row for row in rows if not row["many"]])
        .mark_point(filled=True, size=46, opacity=0.9)
        .encode(x=x, y=y, color=colour, shape=shape),
    ]


def _dodged(points: Sequence[UtilityPoint]) -> Rows:
    """Returns a row a run; released runs at one epsilon stand side by side, in a place of theirs.

    The place does not grow with their number: it never reaches the next epsilon's.
    """
    rows: Rows = [
        {"epsilon": p.epsilon, "value": p.value, "what": _what(p), "many": False}
        for p in points
        if p.kind == EXACT
    ]
    beside = _released_at(points)
    room = _room([*beside])
    for epsilon, runs in beside.items():
        step = min(_STEP, 2 * room / max(1, len(runs) - 1))
        for place, point in enumerate(runs):
            shift = math.exp(step * (place - (len(runs) - 1) / 2))
            row = {
                "epsilon": epsilon * shift, "value": point.value, "what": _what(point),
                "many": len(runs) > MAX_SINGLE,
            }  # fmt: skip
            if point.low is not None and point.high is not None:
                row |= {"low": point.low, "high": point.high}
            rows.append(row)
    return rows


def _released_at(points: Sequence[UtilityPoint]) -> dict[float, list[UtilityPoint]]:
    """Returns the released runs at each epsilon, by rising epsilon, then by seed."""
    beside: dict[float, list[UtilityPoint]] = {}
    for point in sorted(points, key=lambda p: (p.epsilon or 0.0, p.study, p.seed)):
        if point.kind == RELEASED and point.epsilon is not None:
            beside.setdefault(point.epsilon, []).append(point)
    return beside


def _room(epsilons: Sequence[float]) -> float:
    """Returns how far from its epsilon a run may stand, as a logarithm of their ratio."""
    gaps = [math.log(high / low) for low, high in itertools.pairwise(epsilons)]
    return min([_MOST_ROOM, *(_PART_OF_GAP * gap for gap in gaps)])


def _summaries(points: Sequence[UtilityPoint]) -> Rows:
    """Returns of each epsilon with many runs their range, and that of all their intervals.

    So of each study, where several are drawn.
    """
    groups = [
        (epsilon, [p for p in runs if p.study == study])
        for epsilon, runs in _released_at(points).items()
        if len(runs) > MAX_SINGLE
        for study in sorted({p.study for p in runs})
    ]
    return [
        {
            "epsilon": epsilon, "what": _what(runs[0]),
            "least": min(p.value for p in runs), "most": max(p.value for p in runs),
            "low": min(p.value if p.low is None else p.low for p in runs),
            "high": max(p.value if p.high is None else p.high for p in runs),
        }
        for epsilon, runs in groups
    ]  # fmt: skip


def _reference(levels: Sequence[UtilityLevel], y: alt.Y) -> list[alt.Chart]:
    without = [level for level in levels if level.epsilon is None]
    rows: Rows = []
    best = [level for level in without if level.kind == without[0].kind]
    for level in best:
        said = f"{level.mean:.3f}" if level.is_reference else f"{NO_BETTER}, no reference"
        whose = f", {level.study}" if level.study else ""
        text = f"without privacy{whose}: {said}"
        rows.append({"value": level.mean, "what": level.kind, "text": text})
    drawn = [row for row, level in zip(rows, best, strict=True) if level.is_reference]
    line = data(drawn).mark_rule(strokeDash=[2, 3], strokeWidth=1.5, color=INK).encode(y=y)
    text = (
        data(rows)
        .mark_text(align="left", baseline="bottom", dx=4, dy=-4, color=INK, fontSize=12)
        .encode(x=alt.XValue(0), y=y, text="text:N")
    )
    return [line, text] if rows else []
