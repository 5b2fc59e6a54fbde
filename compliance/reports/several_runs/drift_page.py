"""The page of a monitoring calendar: what has drifted, how far, and what watching costs."""

from collections.abc import Sequence
from typing import TypeAlias

from compliance.charts.counted.drift import (
    STATISTICS,
    describe_drift,
    drift_chart,
    tests_of,
    verdict_of,
)
from compliance.charts.theme import to_svg
from compliance.estimates.drift.series import DriftTest, ReleaseDrift
from compliance.facts.drift_calendar import DriftCalendar, UncountedRun
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
from protocol.counted import counted

#: One distance of a column, and the release that it is of.
_Tested: TypeAlias = tuple[ReleaseDrift, DriftTest]

MEANING = (
    "A flag says that patients or records differ from the reference; it does not say why, nor "
    "whether the model has become worse."
)
BAND = (
    "The band holds what the sampling of patients and the noise of both releases bring about where "
    "nothing has changed; the dotted line is its median. A distance above the band is flagged."
)


def drift_page(calendar: DriftCalendar, verified: Statement | None = None) -> Document:
    """Returns the page of a calendar.

    Args:
        calendar: the calendar.
        verified: what came of verifying the records behind it, where they were.
    """
    return Document(
        kind="drift",
        title=calendar.study_title,
        subtitle=calendar.sentence,
        banner=(
            *(() if verified is None else (verified,)),
            *_simulated(calendar),
            *banner(calendar),
        ),
        sections=(
            Section(key="releases", title="Releases", blocks=_releases(calendar)),
            Section(key="flags", title="What has drifted", blocks=_flags(calendar)),
            Section(key="columns", title="Columns", blocks=_charts(calendar)),
            Section(
                key="price",
                title="What it costs",
                blocks=(price_facts(calendar), budgets_table(calendar)),
            ),
        ),
        footer=(f"Study {calendar.study_digest}; thresholds drawn with seed {calendar.seed}.",),
    )


def drift_section(calendar: DriftCalendar) -> Section:
    """Returns a calendar as a part of the report about one of its runs, as it stood with it."""
    said = Paragraph(text=f"{calendar.sentence} {MEANING if calendar.flagged else ''}".strip())
    return Section(
        key="drift",
        title="Drift",
        blocks=(
            said,
            *_releases(calendar),
            *_flags(calendar),
            *_charts(calendar),
            price_facts(calendar),
        ),
    )


def _simulated(calendar: DriftCalendar) -> tuple[Statement, ...]:
    if not calendar.simulation:
        return ()
    return (Statement(text="A simulation: every hospital was on one machine."),)


def banner(calendar: DriftCalendar) -> tuple[Statement, ...]:
    """Returns what a calendar says before anything else: what has drifted, in any release."""
    flagged = sorted({one.column for one in calendar.flagged})
    if flagged:
        return (
            Statement(text=f"Drift of {', '.join(flagged)}.", detail=MEANING, tone=Tone.CAUTION),
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


def _releases(calendar: DriftCalendar) -> tuple[Block, ...]:
    """Returns a line for each release, and one for each run that made none."""
    if not calendar.uncounted:
        return (releases_table(calendar),)
    return releases_table(calendar), uncounted_table(calendar)


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
    return table_of("Releases after the reference", calendar.series, columns, note=_left(calendar))


def _left(calendar: DriftCalendar) -> str:
    """Says what of a calendar is still to come."""
    if calendar.reference is None:
        return f"The reference and {counted(calendar.planned, 'release')} are to come."
    if not calendar.left:
        return "The calendar has ended: another one is another plan, paid anew."
    return f"Left: {counted(calendar.left, 'release')}, paid for when the reference was counted."


def calendars_table(calendars: Sequence[DriftCalendar]) -> Table:
    """Returns a line for each of several monitoring studies."""
    columns: Columns[DriftCalendar] = (
        ("Study", Format.TEXT, lambda each: each.study_title),
        ("Plan", Format.CODE, lambda each: each.study_digest[:8]),
        ("Made", Format.COUNT, lambda each: each.made),
        ("Left", Format.COUNT, lambda each: each.left),
        ("State", Format.TEXT, lambda each: each.sentence),
    )
    return table_of("Monitoring studies", calendars, columns)


def uncounted_table(calendar: DriftCalendar) -> Table:
    """Returns a line for every run that released nothing, with its reason."""
    columns: Columns[UncountedRun] = (
        ("Run", Format.CODE, lambda each: each.run_id),
        ("Begun", Format.TIME, lambda each: each.started_at),
        ("State", Format.TEXT, lambda each: each.state),
        ("Why", Format.TEXT, lambda each: each.why),
    )
    return table_of("Runs that released nothing", calendar.uncounted, columns)


def _flags(calendar: DriftCalendar) -> tuple[Block, ...]:
    table = flags_table(calendar)
    return (table,) if table.rows else (Paragraph(text="Nothing was flagged."),)


def flags_table(calendar: DriftCalendar) -> Table:
    """Returns every distance that was flagged."""
    rows = [(release, test) for release in calendar.series for test in release.flagged]
    return table_of("Flagged", rows, _DISTANCES)


def series_table(calendar: DriftCalendar) -> Table:
    """Returns every distance of every column in every release."""
    rows = [(release, test) for release in calendar.series for test in release.tests]
    columns: Columns[_Tested] = (
        *_DISTANCES[:1],
        ("Run", Format.CODE, lambda each: each[0].run_id),
        ("Made", Format.TIME, lambda each: calendar.made_at[each[0].number]),
        *_DISTANCES[1:],
        ("Said", Format.TEXT, said_of),
    )
    return table_of("Distances from the reference", rows, columns)


def said_of(each: _Tested) -> str:
    """Returns what came of a test, or why there was none."""
    return each[1].note or verdict_of(each[1])


_DISTANCES: Columns[_Tested] = (
    ("Release", Format.COUNT, lambda each: each[0].number),
    ("Column", Format.TEXT, lambda each: each[1].column),
    ("Distance", Format.TEXT, lambda each: STATISTICS[each[1].statistic]),
    ("Value", Format.RATIO, lambda each: each[1].value),
    ("By chance and noise", Format.RATIO, lambda each: each[1].usual),
    ("Threshold", Format.RATIO, lambda each: each[1].threshold),
    ("Chance without drift", Format.SMALL, lambda each: each[1].chance),
)


def drawn_columns(calendar: DriftCalendar) -> tuple[tuple[str, str], ...]:
    """Returns each watched column with each distance that it was compared by."""
    return tuple(
        (column, statistic)
        for column in calendar.columns
        for statistic in STATISTICS
        if tests_of(calendar, column, statistic)
    )


def _charts(calendar: DriftCalendar) -> tuple[Block, ...]:
    if not calendar.series:
        return (Paragraph(text="Nothing was compared yet."),)
    drawn = (
        Figure(
            title=f"{column}: {STATISTICS[statistic]}",
            svg=to_svg(drift_chart(calendar, column, statistic)),
            alt=describe_drift(calendar, column, statistic),
            caption=f"{column}: {STATISTICS[statistic]}.",
            table=tests_table(calendar, column, statistic),
        )
        for column, statistic in drawn_columns(calendar)
    )
    return (Paragraph(text=BAND), *drawn)


def tests_table(calendar: DriftCalendar, column: str, statistic: str) -> Table:
    """Returns one column's distances by one statistic."""
    columns: Columns[_Tested] = (
        _DISTANCES[0], *_DISTANCES[3:6], ("Said", Format.TEXT, said_of),
    )  # fmt: skip
    return table_of(
        f"{column}, {STATISTICS[statistic]}", tests_of(calendar, column, statistic), columns
    )


def price_facts(calendar: DriftCalendar) -> Facts:
    """Returns what a calendar costs a patient, and what of it is left."""
    return Facts(
        title="The calendar",
        rows=(
            Fact(label="Releases after the reference, planned", value=calendar.planned,
                 form=Format.COUNT),
            Fact(label="Made until now", value=calendar.made, form=Format.COUNT),
            Fact(label="Left, paid for", value=calendar.left, form=Format.COUNT),
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


def budgets_table(calendar: DriftCalendar) -> Table:
    """Returns what each hospital's patients have left."""
    columns: Columns[tuple[str, float | None]] = (
        ("Hospital", Format.TEXT, lambda each: each[0]),
        ("Left of its budget for life, the calendar taken off", Format.SHARE_LEFT,
         lambda each: each[1]),
    )  # fmt: skip
    return table_of("Budgets", sorted(calendar.budget_left.items()), columns)
