"""Draws utility against epsilon for one mode of privacy, or hands several to ``modes``."""

import itertools
import math
from collections.abc import Sequence

import altair as alt

from compliance.charts.descriptions import describe_utility
from compliance.charts.modes import log_domain, modes_against_epsilon, modes_at_one_epsilon
from compliance.charts.theme import (
    INK,
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
    supports_line,
    utility_levels,
)

#: More released runs than these at one epsilon are drawn as their range, and small marks in it.
MAX_SINGLE = 8
#: Runs stand so far apart, as a logarithm; a place is at most so wide to either side.
_STEP, _MOST_ROOM, _PART_OF_GAP = 0.034, 0.25, 0.3


def utility_against_epsilon(
    points: Sequence[UtilityPoint], withheld: Sequence[Withheld] = ()
) -> Chart:
    """Draws the headline figure against epsilon: each run, the mean, the range of the runs.

    A line joins the released means only where ``facts.privacy_utility.supports_line`` says so.

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
    released = [point for point in points if point.kind == RELEASED]
    joined = [
        level
        for level in levels
        if level.epsilon is not None and (level.kind == EXACT or supports_line(released))
    ]
    layers = [
        *_band_and_mean(joined, [*{point.kind for point in points}], x, y),
        *_run_marks([point for point in points if point.epsilon is not None], x, y),
        *_reference(levels, y),
    ]
    return finished(layers, describe_utility(points, withheld), height=300)


def _heights(points: Sequence[UtilityPoint]) -> list[float]:
    drawn = [(point.low, point.value, point.high) for point in points]
    return [value for values in drawn for value in values if value is not None]


def _band_and_mean(
    levels: Sequence[UtilityLevel], drawn: Sequence[str], x: alt.X, y: alt.Y
) -> list[alt.Chart]:
    kinds = sorted(drawn)
    rows: dict[str, Rows] = {EXACT: [], RELEASED: []}
    for level in levels:
        rows[level.kind].append(
            {
                "epsilon": level.epsilon,
                "value": level.mean,
                "low": level.low,
                "high": level.high,
                "what": level.kind,
            }
        )
    low = alt.Y("low:Q", title=y["title"])
    band = data(rows[EXACT]).mark_area(opacity=0.16)
    solid, dashed = (
        data(rows[kind]).mark_line(strokeWidth=2.5, strokeDash=dash)
        for kind, dash in ((EXACT, [1, 0]), (RELEASED, [6, 4]))
    )
    return [
        band.encode(x=x, y=low, y2="high:Q", color=kind_colour(kinds)),
        solid.encode(x=x, y=y, color=kind_colour(kinds)),
        dashed.encode(x=x, y=y, color=kind_colour(kinds)),
    ]


def _run_marks(points: Sequence[UtilityPoint], x: alt.X, y: alt.Y) -> list[alt.Chart]:
    rows = _dodged(points)
    kinds = sorted({point.kind for point in points})
    low, colour = alt.Y("low:Q", title=y["title"]), kind_colour(kinds)
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
        .encode(x=x, y=y, color=colour, shape=kind_shape(kinds)),
        data([row for row in rows if not row["many"]])
        .mark_point(filled=True, size=46, opacity=0.9)
        .encode(x=x, y=y, color=colour, shape=kind_shape(kinds)),
    ]


def _dodged(points: Sequence[UtilityPoint]) -> Rows:
    """Returns a row a run; released runs at one epsilon stand side by side, in a place of theirs.

    The place does not grow with their number: it never reaches the next epsilon's.
    """
    rows: Rows = [
        {"epsilon": p.epsilon, "value": p.value, "what": p.kind, "many": False}
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
                "epsilon": epsilon * shift, "value": point.value, "what": point.kind,
                "many": len(runs) > MAX_SINGLE,
            }  # fmt: skip
            if point.low is not None and point.high is not None:
                row |= {"low": point.low, "high": point.high}
            rows.append(row)
    return rows


def _released_at(points: Sequence[UtilityPoint]) -> dict[float, list[UtilityPoint]]:
    """Returns the released runs at each epsilon, by rising epsilon, then by seed."""
    beside: dict[float, list[UtilityPoint]] = {}
    for point in sorted(points, key=lambda p: (p.epsilon or 0.0, p.seed)):
        if point.kind == RELEASED and point.epsilon is not None:
            beside.setdefault(point.epsilon, []).append(point)
    return beside


def _room(epsilons: Sequence[float]) -> float:
    """Returns how far from its epsilon a run may stand, as a logarithm of their ratio."""
    gaps = [math.log(high / low) for low, high in itertools.pairwise(epsilons)]
    return min([_MOST_ROOM, *(_PART_OF_GAP * gap for gap in gaps)])


def _summaries(points: Sequence[UtilityPoint]) -> Rows:
    """Returns of each epsilon with many runs their range, and that of all their intervals."""
    return [
        {
            "epsilon": epsilon, "what": RELEASED,
            "least": min(p.value for p in runs), "most": max(p.value for p in runs),
            "low": min(p.value if p.low is None else p.low for p in runs),
            "high": max(p.value if p.high is None else p.high for p in runs),
        }
        for epsilon, runs in _released_at(points).items()
        if len(runs) > MAX_SINGLE
    ]  # fmt: skip


def _reference(levels: Sequence[UtilityLevel], y: alt.Y) -> list[alt.Chart]:
    without = [level for level in levels if level.epsilon is None]
    rows: Rows = []
    for level in without[:1]:
        said = f"{level.mean:.3f}" if level.is_reference else f"{NO_BETTER}, no reference"
        rows.append({"value": level.mean, "what": level.kind, "text": f"without privacy: {said}"})
    drawn = [row for row, level in zip(rows, without, strict=False) if level.is_reference]
    line = data(drawn).mark_rule(strokeDash=[2, 3], strokeWidth=1.5, color=INK).encode(y=y)
    text = (
        data(rows)
        .mark_text(align="left", baseline="bottom", dx=4, dy=-4, color=INK, fontSize=12)
        .encode(x=alt.XValue(0), y=y, text="text:N")
    )
    return [line, text] if rows else []
