"""The page of a monitoring calendar: what has drifted, how far, and what watching costs."""

from compliance.charts.counted.drift import (
    STATISTICS,
    describe_drift,
    drift_chart,
    tests_of,
    verdict_of,
)
from compliance.charts.theme import to_svg
from compliance.estimates.drift.series import DriftTest, ReleaseDrift
from compliance.facts.drift_calendar import DriftCalendar
from compliance.facts.formatting import Cell, Format, show
from compliance.reports.document import (
    Block,
    Columns,
    Document,
    Fact,
    Facts,
    Figure,
    Paragraph,
    Section,
    Statement,
    Table,
    Tone,
    table_of,
)

BAND = (
    "The band holds what the sampling of patients and the noise of both releases bring about where "
    "nothing has changed; the dotted line is its median. A distance above the band is flagged."
)


def drift_page(calendar: DriftCalendar) -> Document:
    """Returns the page of a calendar."""
    return Document(
        kind="drift",
        title=calendar.study_title,
        subtitle=calendar.sentence,
        banner=(*_simulated(calendar), *_banner(calendar)),
        sections=(
            Section(key="releases", title="Releases", blocks=(releases_table(calendar),)),
            _flags(calendar),
            Section(key="columns", title="Columns", blocks=_charts(calendar)),
            Section(key="price", title="What it costs", blocks=(_price(calendar), _left(calendar))),
        ),
        footer=(f"Study {calendar.study_digest}; thresholds drawn with seed {calendar.seed}.",),
    )


def _simulated(calendar: DriftCalendar) -> tuple[Statement, ...]:
    if not calendar.simulation:
        return ()
    return (Statement(text="A simulation: every hospital was on one machine."),)


def _banner(calendar: DriftCalendar) -> tuple[Statement, ...]:
    flagged = sorted({one.column for one in calendar.flagged})
    if flagged:
        return (
            Statement(
                text=f"Drift of {', '.join(flagged)}.",
                detail="A flag says that patients or records differ from the reference; it does "
                "not say why, nor whether the model has become worse.",
                tone=Tone.CAUTION,
            ),
        )
    if not calendar.series:
        return ()
    if all(release.why_untested for release in calendar.series):
        return (
            Statement(
                text="Nothing was tested, so no drift could be flagged.",
                detail="The table of releases says why.",
                tone=Tone.CAUTION,
            ),
        )
    left_out = [
        f"release {release.number}, {', '.join(release.untested)}"
        for release in calendar.series
        if release.untested
    ]
    return (
        Statement(
            text="No drift was flagged.",
            detail="A drift that is smaller than the band is not seen."
            + (f" Not tested: {'; '.join(left_out)}." if left_out else ""),
            tone=Tone.PLAIN,
        ),
    )


def _farthest(release: ReleaseDrift) -> DriftTest | None:
    """Returns the test with the smallest chance under the null."""
    tested = [test for test in release.tests if test.chance is not None]
    return min(tested, key=lambda test: test.chance or 0.0, default=None)


def releases_table(calendar: DriftCalendar) -> Table:
    """Returns a line for every release after the reference."""

    def farthest(release: ReleaseDrift) -> Cell:
        test = _farthest(release)
        return None if test is None else f"{test.column} ({test.statistic})"

    columns: Columns[ReleaseDrift] = (
        ("Release", Format.COUNT, lambda each: each.number),
        ("Run", Format.CODE, lambda each: each.run_id),
        ("Made", Format.TIME, lambda each: calendar.made_at[each.number]),
        ("Hospitals", Format.COUNT, lambda each: len(each.sites)),
        ("Patients", Format.COUNT, lambda each: max(0.0, each.patients)),
        ("Drift", Format.TEXT, lambda each: each.why_untested or each.found("none")),
        ("Least likely by chance", Format.TEXT, farthest),
    )
    return table_of("Releases after the reference", calendar.series, columns)


def _flags(calendar: DriftCalendar) -> Section:
    rows = [(release, test) for release in calendar.series for test in release.flagged]
    columns: Columns[tuple[ReleaseDrift, DriftTest]] = (
        ("Release", Format.COUNT, lambda each: each[0].number),
        ("Column", Format.TEXT, lambda each: each[1].column),
        ("Distance", Format.TEXT, lambda each: STATISTICS[each[1].statistic]),
        ("Value", Format.RATIO, lambda each: each[1].value),
        ("By chance and noise", Format.RATIO, lambda each: each[1].usual),
        ("Threshold", Format.RATIO, lambda each: each[1].threshold),
        ("Chance without drift", Format.SMALL, lambda each: each[1].chance),
    )
    blocks: tuple[Block, ...] = (Paragraph(text="Nothing was flagged."),)
    if rows:
        blocks = (table_of("Flagged", rows, columns),)
    return Section(key="flags", title="What has drifted", blocks=blocks)


def _charts(calendar: DriftCalendar) -> tuple[Block, ...]:
    if not calendar.series:
        return (Paragraph(text="Nothing was compared yet."),)
    return tuple(
        Figure(
            title=f"{column}: {STATISTICS[statistic]}",
            svg=to_svg(drift_chart(calendar, column, statistic)),
            alt=describe_drift(calendar, column, statistic),
            caption=f"{column}, {STATISTICS[statistic]}. {BAND}",
            table=tests_table(calendar, column, statistic),
        )
        for column in calendar.columns
        for statistic in STATISTICS
        if tests_of(calendar, column, statistic)
    )


def tests_table(calendar: DriftCalendar, column: str, statistic: str) -> Table:
    """Returns one column's distances by one statistic."""
    columns: Columns[tuple[ReleaseDrift, DriftTest]] = (
        ("Release", Format.COUNT, lambda each: each[0].number),
        ("Value", Format.RATIO, lambda each: each[1].value),
        ("By chance and noise", Format.RATIO, lambda each: each[1].usual),
        ("Threshold", Format.RATIO, lambda each: each[1].threshold),
        ("Said", Format.TEXT, lambda each: each[1].note or verdict_of(each[1])),
    )
    return table_of(
        f"{column}, {STATISTICS[statistic]}", tests_of(calendar, column, statistic), columns
    )


def _price(calendar: DriftCalendar) -> Facts:
    return Facts(
        title="The calendar",
        rows=(
            Fact(label="Releases after the reference, planned", value=calendar.planned,
                 form=Format.COUNT),
            Fact(label="Made until now", value=calendar.made, form=Format.COUNT),
            Fact(
                label="Epsilon of one patient, for the reference and all planned releases",
                value=calendar.epsilon,
                form=Format.EPSILON,
            ),
            Fact(label="Delta", value=calendar.delta, form=Format.SMALL),
            Fact(
                label="Chance of any flag where nothing drifts, in the whole calendar",
                value=f"at most {show(calendar.rate, Format.SHARE)}",
            ),
            Fact(label="Model whose scores are watched", value=calendar.model, form=Format.CODE),
        ),
    )  # fmt: skip


def _left(calendar: DriftCalendar) -> Table:
    columns: Columns[tuple[str, float | None]] = (
        ("Hospital", Format.TEXT, lambda each: each[0]),
        ("Left of its budget for life, the calendar taken off", Format.SHARE_LEFT,
         lambda each: each[1]),
    )  # fmt: skip
    return table_of("Budgets", sorted(calendar.budget_left.items()), columns)
