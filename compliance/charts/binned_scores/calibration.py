"""The chart of calibration: how often a model is right, by what it says, group by group."""

from collections.abc import Sequence

import altair as alt

from compliance.charts.theme import BLUE, GREY, Chart, Rows, data, finished
from compliance.estimates.binned_scores.calibration import CalibrationPoint
from compliance.facts.figures import CalibrationWords
from compliance.facts.formatting import Format, show

_HEIGHT = 240
#: The axes end so much above the highest bound.
_ROOM = 1.04


def describe_calibration(points: Sequence[CalibrationPoint], words: CalibrationWords) -> str:
    """Says in words what ``calibration`` draws."""
    said = [
        f"{words.said} {point.risk.value:.3f}: {words.true} {show(point.ill, Format.RATIO)}"
        for point in _known(points)
    ]
    return (
        f"{words.true.capitalize()} by {words.said}, in groups of patients with similar scores, "
        f"with 95 % intervals; a calibrated model lies on the diagonal. {'; '.join(said)}."
    )


def calibration(points: Sequence[CalibrationPoint], words: CalibrationWords) -> Chart:
    """Draws the share of the ill, or of the right, in each group by its mean risk; the diagonal.

    No line joins the groups: what lies between them is not known.

    Raises:
        ValueError: no group is known.
    """
    known = _known(points)
    if not known:
        raise ValueError("no group of the calibration curve is known")
    rows: Rows = [
        {"risk": p.risk.value, "ill": p.ill.value, "low": p.ill.low, "high": p.ill.high}
        for p in known
    ]
    top = min(1.0, _ROOM * max(max(row["risk"], row["high"]) for row in rows))
    diagonal: Rows = [{"risk": at, "ill": at} for at in (0.0, top)]
    x = alt.X("risk:Q", title=f"{words.said} by the model").scale(domain=[0, top], nice=False)
    y = alt.Y("ill:Q", title=words.true).scale(domain=[0, top], nice=False)
    layers = [
        data(diagonal).mark_line(strokeDash=[5, 4], color=GREY).encode(x=x, y=y),
        data(rows)
        .mark_rule(strokeWidth=3, opacity=0.35, strokeCap="round", color=BLUE)
        .encode(x=x, y=alt.Y("low:Q").scale(domain=[0, top], nice=False), y2="high:Q"),
        data(rows).mark_point(filled=True, size=60, opacity=1, color=BLUE).encode(x=x, y=y),
    ]
    return finished(layers, describe_calibration(points, words), height=_HEIGHT)


def _known(points: Sequence[CalibrationPoint]) -> list[CalibrationPoint]:
    return [p for p in points if p.risk.value is not None and p.ill.value is not None]
