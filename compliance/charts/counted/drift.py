"""The chart of a column's drift: its distance from the reference, release by release."""

import math

import altair as alt

from compliance.charts.theme import BLUE, INK, PALE, VERMILLION, Chart, Rows, data, finished
from compliance.estimates.drift.series import DriftTest, ReleaseDrift
from compliance.facts.drift_calendar import DriftCalendar
from compliance.facts.formatting import Format, show

STATISTICS = {
    "psi": "population stability index",
    "ks": "Kolmogorov-Smirnov distance",
}
_HEIGHT = 150
NOT_FLAGGED, FLAGGED, NOT_TESTED = "within the band", "drift", "not tested"


def tests_of(
    calendar: DriftCalendar, column: str, statistic: str
) -> list[tuple[ReleaseDrift, DriftTest]]:
    """Returns one column's tests by one statistic, by release."""
    return [
        (release, test)
        for release in calendar.series
        for test in release.tests
        if (test.column, test.statistic) == (column, statistic)
    ]


def verdict_of(test: DriftTest) -> str:
    """Returns what a test says, in a word or two."""
    if test.note:
        return NOT_TESTED
    return FLAGGED if test.is_flagged else NOT_FLAGGED


def describe_drift(calendar: DriftCalendar, column: str, statistic: str = "psi") -> str:
    """Says in words what ``drift_chart`` draws."""
    said = [
        f"release {release.number}: {show(test.value, Format.RATIO)}, "
        + (f"not tested, {test.note}" if test.note else f"threshold "
           f"{show(test.threshold, Format.RATIO)}, {verdict_of(test)}")
        for release, test in tests_of(calendar, column, statistic)
    ]  # fmt: skip
    what = f"The {STATISTICS[statistic]} of {column} between the reference and each release"
    return f"{what}. {'; '.join(said)}."


def drift_chart(
    calendar: DriftCalendar, column: str, statistic: str = "psi", *, top: float | None = None
) -> Chart:
    """Draws a column's distance from the reference, with the band of chance and noise.

    The band reaches to the threshold of one test; a point above it is drift.

    Args:
        calendar: of a monitoring study.
        column: whose distances are drawn.
        statistic: by which they are measured.
        top: where the axis ends, so that columns can be compared: its scale is that of square
            roots, so that the bands of some can be seen beside the drift of others. None where
            this column alone decides.

    Raises:
        ValueError: nothing of the column was compared yet.
    """
    found = tests_of(calendar, column, statistic)
    if not found:
        raise ValueError(f"column {column} has nothing by {statistic} to draw")
    points: Rows = [
        {"release": release.number, "value": test.value, "what": verdict_of(test)}
        for release, test in found
    ]
    band: Rows = [
        {
            "from": release.number - 0.5,
            "to": release.number + 0.5,
            "low": 0.0,
            "usual": test.usual,
            "threshold": test.threshold,
        }
        for release, test in found
        if test.threshold is not None and math.isfinite(test.threshold)
    ]
    scale = alt.Scale(domain=[0.5, calendar.planned + 0.5], nice=False)
    ticks = alt.Axis(
        values=list(range(1, calendar.planned + 1)), format="d", grid=False, labelOverlap="greedy"
    )
    heights, title = alt.Scale(domainMin=0), [STATISTICS[statistic]]
    if top is not None:
        heights = alt.Scale(domain=[0, top], nice=True, type="sqrt")
        title.append("(square-root scale)")
    x = alt.X("release:Q", title="release", scale=scale, axis=ticks)
    y = alt.Y("value:Q", title=title, scale=heights)
    kinds = [NOT_FLAGGED, FLAGGED, NOT_TESTED]
    colour = alt.Color(
        "what:N", title=None, scale=alt.Scale(domain=kinds, range=[BLUE, VERMILLION, INK])
    )
    shape = alt.Shape(
        "what:N", title=None, scale=alt.Scale(domain=kinds, range=["circle", "diamond", "cross"])
    )
    rects = data(band).mark_rect(color=PALE)
    rules = data(band).mark_rule(color=INK, strokeWidth=1)
    at = {"x": alt.X("from:Q", scale=scale), "x2": "to:Q"}
    layers = [
        rects.encode(**at, y=alt.Y("low:Q"), y2="threshold:Q"),
        rules.encode(**at, y=alt.Y("threshold:Q")),
        data(band).mark_rule(color=INK, strokeDash=[3, 3]).encode(**at, y=alt.Y("usual:Q")),
        data(points).mark_point(size=90, filled=True).encode(x=x, y=y, color=colour, shape=shape),
    ]
    return finished(layers, describe_drift(calendar, column, statistic), height=_HEIGHT)


def top_of(calendar: DriftCalendar, statistic: str) -> float | None:
    """Returns the largest distance or threshold of any column by one statistic; None without."""
    heights = [
        height
        for column in calendar.columns
        for _, test in tests_of(calendar, column, statistic)
        for height in (test.value, test.threshold)
        if height is not None and math.isfinite(height)
    ]
    return max(heights, default=None)
