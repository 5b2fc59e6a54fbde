"""One Streamlit page over a folder of runs: utility, fairness, privacy, rounds, audit trail.

::

    streamlit run dashboard/app.py -- --out FOLDER

The page only reads, only through the coordinator's views, and asks no other
host for anything. What it says is in ``presentation``; this file only places it.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

import pandas as pd
import streamlit as st

from compliance.charts import run as charts
from compliance.charts.binned_scores.calibration import calibration
from compliance.charts.binned_scores.thresholds import net_benefit_by_threshold, shares_by_threshold
from compliance.charts.counted.columns import column_shares
from compliance.charts.counted.drift import STATISTICS, drift_chart, tests_of
from compliance.charts.descriptions import (
    WITHOUT_PRIVACY,
    gap_text,
    interval_text,
    own_notes,
    site_claim,
    too_small_text,
    unclaimed,
)
from compliance.charts.intervals import interval_rows
from compliance.facts.comparison.baselines import (
    BASELINES_FILE,
    BaselineFindings,
    noise_text,
)
from compliance.facts.comparison.modes import gaps
from compliance.facts.comparison.strategies import STRATEGIES_FILE, ComparisonFindings
from compliance.facts.dossier import CourseFacts, Dossier, LogVerification
from compliance.facts.drift_calendar import DriftCalendar
from compliance.facts.formatting import Format, show
from compliance.facts.groups import by_grouping
from compliance.facts.privacy_utility import UtilityPoint, Withheld, compares_modes
from compliance.reports import run_tables
from compliance.reports.document import Document, Statement, Table, Tone
from compliance.reports.privacy_report import privacy_report
from compliance.reports.renderers import render_csv, render_html, render_json
from compliance.reports.sections import calibration as calibration_parts
from compliance.reports.sections import (
    columns,
    outcomes,
    own_models,
    statements,
    thresholds,
    utility,
)
from compliance.reports.sections.fairness import groups
from compliance.reports.sections.fairness.gaps import gap_sentences, group_gap_sentences
from compliance.reports.several_runs import (
    baseline_parts,
    baselines_page,
    drift_page,
    strategies_page,
)
from coordinator.views.alerts import Alert
from coordinator.views.comparisons import baselines_in, strategies_in
from coordinator.views.views import open_views
from dashboard import presentation
from dashboard.presentation import DashboardViews
from protocol.errors import FederationError

_FORMATS = {
    "html": (render_html, "text/html"),
    "json": (render_json, "application/json"),
    "csv": (render_csv, "text/csv"),
}
_BOXES = {Tone.GOOD: st.success, Tone.PLAIN: st.info, Tone.CAUTION: st.warning, Tone.BAD: st.error}


_CHART_HEIGHT, _LOW_CHART = 330, 200  # pixels, axes and legend included
_ROW_HEIGHT = 30
#: Where a browser's session keeps what was verified last, with what came of it.
_VERIFIED = "verified"
_RUNS = "Runs"
Found = TypeVar("Found")


def main(views: DashboardViews) -> None:
    """Draws the page about the runs that ``views`` knows."""
    st.markdown(":primary[**COLLEGIUM**]")
    _alerts(views.alerts())
    parts: dict[str, Callable[[], object]] = {_RUNS: partial(_run, views)}
    if calendars := views.calendars():
        parts["Drift"] = partial(_drift, views, calendars)
    if compared := _beside(views.baselines, _baselines):
        parts["Baselines"] = compared
    if compared := _beside(views.strategies, _strategies):
        parts["Strategies"] = compared
    parts[_chosen(list(parts))]()


def _beside(
    read: Callable[[], Found | None], drawn: Callable[[Found], object]
) -> Callable[[], object] | None:
    """Returns what draws a comparison, or why it cannot be read; None where there is none."""
    try:
        found = read()
    except FederationError as error:
        return partial(st.error, presentation.plain(str(error)), icon=":material/error:")
    return None if found is None else partial(drawn, found)


def _chosen(parts: Sequence[str]) -> str:
    """Returns the part of the page that is looked at; no choice is shown where there is one."""
    if len(parts) < 2:
        return parts[0]
    chosen = st.segmented_control("Part", parts, default=parts[0], label_visibility="collapsed")
    return chosen or parts[0]


def _run(views: DashboardViews) -> None:
    runs = presentation.ordered(views.runs())
    if not runs:
        st.info("No run yet. Start one with: collegium demo --out FOLDER")
        return
    labels = {run.run_id: presentation.run_label(run) for run in runs}
    chosen = st.selectbox("Run", list(labels), format_func=lambda run_id: labels[run_id])
    dossier = views.dossier(chosen)
    dossier = replace(dossier, verification=_verified(views, dossier))
    _box(statements.verification(dossier))
    _head(dossier)
    _headlines(dossier)
    if dossier.drift is not None:
        _run_drift(dossier.drift)
    first, second = st.columns(2, gap="large"), st.columns(2, gap="large")
    left, right = (partial(_utility, views), _fairness) if dossier.trains else (_columns, _shares)
    with first[0]:
        left(dossier)
    with first[1]:
        right(dossier)
    with second[0]:
        _privacy(dossier)
    with second[1]:
        _rounds(dossier)
    _groups(dossier)
    if dossier.outcomes:
        _outcomes(dossier)
    if dossier.operating_points:
        _thresholds(dossier)
    if dossier.calibration:
        _calibration(dossier)
    _run_alerts(views.alerts(dossier.run_id, closed=True))
    _audit(dossier)
    _downloads(
        "Report for the compliance officer",
        f"collegium-{dossier.run_id}",
        partial(privacy_report, dossier),
    )


def run(arguments: Sequence[str]) -> None:
    """Opens the folder named by ``--out`` and draws its page; a refusal becomes a sentence."""
    # No page icon: Streamlit would fetch it from another host.
    st.set_page_config(page_title="Collegium", layout="wide")
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--out", type=Path, default=Path("demo-out"))
    options, _ = parser.parse_known_args(list(arguments))
    try:
        views = open_views(options.out)
    except FederationError as error:
        beside = (
            _beside(partial(baselines_in, options.out), _baselines),
            _beside(partial(strategies_in, options.out), _strategies),
        )
        for compared in beside:
            if compared is not None:
                compared()
        if beside == (None, None):
            st.error(presentation.plain(str(error)), icon=":material/error:")
        return
    try:
        main(views)
    except FederationError as error:
        st.error(presentation.plain(str(error)), icon=":material/error:")
    finally:
        views.close()


def _verified(views: DashboardViews, shown: object) -> LogVerification:
    """Returns what came of verifying: anew whenever what is shown has changed."""
    known: tuple[object, LogVerification] | None = st.session_state.get(_VERIFIED)
    if known is None or known[0] != shown:
        known = st.session_state[_VERIFIED] = (shown, views.verification())
    return known[1]


def _alerts(alerts: Sequence[Alert]) -> None:
    if not alerts:
        return
    st.subheader("Open alerts")
    rows = [
        {k: v for k, v in row.items() if k != "Ended"} for row in presentation.alert_rows(alerts)
    ]
    _whole(rows)
    st.caption(presentation.plain(presentation.alerts_caption(alerts)))


def _run_alerts(alerts: Sequence[Alert]) -> None:
    if not alerts:
        return
    st.subheader("Alerts about this run")
    _whole(presentation.alert_rows(alerts))


def _whole(rows: Sequence[dict[str, str]]) -> None:
    """Shows texts in lines as many as they need, where a grid would cut them."""
    table = pd.DataFrame(rows).map(presentation.plain)
    st.table(table.set_index(table.columns[0]))


def _head(dossier: Dossier) -> None:
    st.title(presentation.plain(dossier.study_title))
    st.caption(presentation.plain(dossier.study_purpose))
    for statement in statements.banner(dossier):
        _box(statement)
    if dossier.state == "running":
        st.button("Look again", icon=":material/refresh:", help="Reads the folder anew.")


def _box(statement: Statement) -> None:
    detail = f" {presentation.plain(statement.detail)}" if statement.detail else ""
    _BOXES[statement.tone](f"**{presentation.plain(statement.text)}**{detail}")


def _headlines(dossier: Dossier) -> None:
    claims = [claim for s in dossier.sites if (claim := site_claim(s)) is not None]
    claimed = dossier.protected and claims
    items = [
        *((f"{kind.label}, released",
           presentation.figure(dossier.released.get(kind.name), kind.form),
           presentation.interval_note(dossier.released.get(kind.name), kind.form))
          for kind in dossier.figures.pooled[:2]),
        ("ε for one patient", show(max(claims), Format.EPSILON) if claimed else "none",
         _claim_note(dossier) if claimed else unclaimed(dossier)),
        ("Training rounds", str(dossier.rounds_trained), f"of {dossier.rounds_planned} planned")
        if dossier.trains else presentation.counted_figure(dossier),
    ]  # fmt: skip
    if dossier.simulation:
        headline = dossier.figures.headline
        exact = presentation.figure(dossier.exact.get(headline.name), headline.form)
        items.insert(0, (f"{headline.label}, exact", exact, "simulation only"))
    _figures(items)


def _claim_note(dossier: Dossier) -> str:
    alone = "" if dossier.sweep_share is None else ", this run alone"
    return f"the worst hospital's claim{alone}"


def _utility(views: DashboardViews, dossier: Dossier) -> None:
    st.subheader("Utility against ε")
    points = views.utility(dossier.run_id)
    if not points:
        st.info("No finished run of this study has a figure to show yet.")
        return
    withheld = views.withheld(dossier.run_id)
    _chart(
        charts.utility_against_epsilon(points, withheld), utility.utility_table(points, withheld)
    )
    if len(points) > 1:
        st.caption(f"{interval_text(points)} {WITHOUT_PRIVACY}")
    if compares_modes(points):
        _comparison(points, withheld)


def _columns(dossier: Dossier) -> None:
    st.subheader("Columns")
    if not dossier.columns:
        st.info("No figure was released.")
        return
    table = columns.columns_table(dossier)
    st.dataframe(presentation.readable(table), hide_index=True, width="stretch")
    st.caption(presentation.plain(table.note))
    patients = run_tables.sites_table(dossier)
    st.dataframe(presentation.readable(patients), hide_index=True, width="stretch")


def _shares(dossier: Dossier) -> None:
    st.subheader("Shares of a column")
    drawn = {c.name: (c, exact) for c, exact in columns.counted(dossier) if c.parts}
    if not drawn:
        st.info("No column has categories or a histogram.")
        return
    column, exact = drawn[st.selectbox("Column", list(drawn))]
    _chart(column_shares(column, exact), columns.shares_table(column, exact))


def _comparison(points: Sequence[UtilityPoint], withheld: Sequence[Withheld]) -> None:
    for gap in gaps(points):
        st.markdown(presentation.plain(gap_text(gap)))
    with st.expander("Modes of privacy against each other, paired run by run"):
        rows = presentation.readable(utility.difference_table(points, withheld))
        st.dataframe(rows, hide_index=True, width="stretch")


def _fairness(dossier: Dossier) -> None:
    st.subheader("Fairness across hospitals")
    figure = dossier.site_kinds[0]
    if not any(site.has_figure(figure) for site in dossier.sites):
        st.info("No figure of any hospital is available for this run.")
        return
    _chart(charts.site_metrics(dossier.sites, figure), run_tables.sites_table(dossier))
    if small := too_small_text(own_notes(dossier.sites, figure)):
        st.caption(presentation.plain(small))
    for said in gap_sentences(dossier):
        st.markdown(presentation.plain(said))
    if dossier.by_global:
        _table(own_models.comparison_table(dossier))
        st.caption(own_models.EXACT)


def _groups(dossier: Dossier) -> None:
    if not dossier.groups:
        return
    st.subheader("Fairness between groups of patients")
    kinds = groups.drawn_kinds(dossier)
    for place, kind in zip(st.columns(max(1, len(kinds)), gap="large"), kinds, strict=False):
        with place:
            rows = groups.group_rows(dossier, kind)
            _chart(interval_rows(rows, kind), groups.one_figure_table(dossier, kind))
    for grouping in by_grouping(dossier.groups):
        st.markdown(f"**By {presentation.plain(grouping)}**")
        for label, said in group_gap_sentences(dossier, grouping):
            st.markdown(f"- {presentation.plain(f'{label}: {said}')}")
    if declined := groups.who_declined(dossier):
        st.markdown(presentation.plain(declined))
    with st.expander("All figures of all groups"):
        table = presentation.readable(groups.groups_table(dossier))
        st.dataframe(table, hide_index=True, width="stretch")
    st.caption(presentation.plain(groups.COVERED))


def _outcomes(dossier: Dossier) -> None:
    st.subheader(outcomes.outcomes_title(dossier))
    table, kind = outcomes.outcomes_table(dossier), outcomes.drawn_kind(dossier)
    if kind is None:
        st.dataframe(presentation.readable(table), hide_index=True, width="stretch")
    else:
        _chart(interval_rows(outcomes.outcome_rows(dossier, kind), kind), table)
    st.caption(presentation.plain(outcomes.COVERED))


def _thresholds(dossier: Dossier) -> None:
    st.subheader("Thresholds")
    if unknown := thresholds.nothing_known(dossier):
        st.info(unknown)
        return
    points, (shares, benefit) = dossier.operating_points, st.columns(2, gap="large")
    with shares:
        _chart(shares_by_threshold(points), thresholds.shares_table(dossier))
    with benefit:
        _chart(net_benefit_by_threshold(points), thresholds.benefit_table(dossier))
    st.caption(presentation.plain(thresholds.COVERED))


def _calibration(dossier: Dossier) -> None:
    st.subheader("Calibration")
    if unknown := calibration_parts.not_drawn(dossier):
        st.info(unknown)
        return
    drawn = calibration(dossier.calibration, dossier.figures.calibrated)
    _chart(drawn, calibration_parts.calibration_table(dossier))
    if line := calibration_parts.recalibration_sentence(dossier):
        st.markdown(presentation.plain(line))
    if said := calibration_parts.error_sentence(dossier):
        st.markdown(presentation.plain(said))
    st.caption(presentation.plain(calibration_parts.COVERED))


def _privacy(dossier: Dossier) -> None:
    st.subheader("Privacy budget at each hospital")
    if not dossier.protected or not dossier.sites:
        st.warning(statements.claim(dossier).text)
        return
    _chart(charts.privacy_spent(dossier.sites), run_tables.budget_table(dossier))


def _rounds(dossier: Dossier) -> None:
    st.subheader("Rounds")
    if not dossier.rounds:
        st.info(f"No round was opened; {dossier.rounds_planned} were planned.")
        return
    _chart(charts.rounds_timeline(dossier.rounds), run_tables.rounds_table(dossier))
    if dossier.course is not None:
        _course(dossier.course)
    if dossier.robust is not None:
        _table(run_tables.robust_table(dossier.robust))
        st.markdown(dossier.robust.sentence)
    if dossier.has_adaptive_clip:
        st.subheader("Clip by round")
        _chart(charts.clip_by_round(dossier.rounds), run_tables.clips_table(dossier))


def _course(course: CourseFacts) -> None:
    st.subheader(f"Released {presentation.plain(course.figure.title)} by round")
    if any(one.released.value is not None for one in course.evaluations):
        _chart(charts.figure_by_round(course), run_tables.course_table(course))
    elif course.evaluations:
        _table(run_tables.course_table(course))
    for sentence in course.sentences:
        st.markdown(presentation.plain(sentence))


def _drift(views: DashboardViews, calendars: Sequence[DriftCalendar]) -> None:
    verified = statements.verified(_verified(views, calendars))
    _box(verified)
    calendar = calendars[0]
    if len(calendars) > 1:
        overview = presentation.readable(drift_page.calendars_table(calendars))
        st.dataframe(overview, hide_index=True, width="stretch")
        known = {presentation.calendar_label(one): one for one in calendars}
        calendar = known[st.selectbox("Study", list(known))]
    st.title(presentation.plain(calendar.study_title))
    st.caption(presentation.plain(calendar.sentence))
    for statement in drift_page.banner(calendar):
        _box(statement)
    _figures(presentation.calendar_figures(calendar))
    _table(drift_page.releases_table(calendar))
    if calendar.uncounted:
        _table(drift_page.uncounted_table(calendar))
    if calendar.flagged:
        _table(drift_page.flags_table(calendar))
    _distances(calendar)
    _table(drift_page.budgets_table(calendar))
    document = partial(drift_page.drift_page, calendar, verified)
    _downloads("The calendar", f"collegium-{calendar.study_name}", document)


def _run_drift(calendar: DriftCalendar) -> None:
    """Shows a calendar beside one of its runs, as it stood with it."""
    st.subheader("Drift")
    st.markdown(presentation.plain(calendar.sentence))
    for statement in drift_page.banner(calendar):
        _box(statement)
    if calendar.flagged:
        _table(drift_page.flags_table(calendar))


def _distances(calendar: DriftCalendar) -> None:
    if not calendar.series:
        st.info("Nothing was compared yet.")
        return
    st.subheader("Distance of each column from the reference")
    st.caption(presentation.plain(drift_page.BAND))
    for column in calendar.columns:
        for place, statistic in zip(st.columns(2, gap="large"), STATISTICS, strict=True):
            if tests_of(calendar, column, statistic):
                with place:
                    st.markdown(f"**{presentation.plain(column)}**")
                    table = drift_page.tests_table(calendar, column, statistic)
                    _chart(drift_chart(calendar, column, statistic), table, _LOW_CHART)


def _baselines(findings: BaselineFindings) -> None:
    st.title("A federation beside its baselines")
    st.caption(
        presentation.plain(
            f"{findings.study.title}, study {findings.study.digest}. Read from {BASELINES_FILE}, "
            "which no log holds."
        )
    )
    exact, question = baselines_page.banner(findings)
    _box(exact)
    st.subheader(question.text)
    for said in baseline_parts.answers(findings):
        st.markdown(f"- {presentation.plain(said)}")
    if gained := baseline_parts.gains(findings):
        _drawing(gained, "stretch")
    st.markdown(presentation.plain(baseline_parts.reading(findings)))
    for noised in findings.levels:
        st.header(f"Models {noise_text(noised=noised)}")
        _drawing(baseline_parts.matrix(findings, noised=noised), "content")  # cells have a size
        _drawing(baseline_parts.side_by_side(findings, noised=noised), "stretch")
    _table(baseline_parts.differences_table(findings))
    document = partial(baselines_page.baselines_page, findings)
    _downloads("The comparison", "baselines", document)


def _strategies(findings: ComparisonFindings) -> None:
    document = strategies_page.strategies_page(findings)
    st.title(document.title)
    st.caption(
        presentation.plain(f"{document.subtitle}. Read from {STRATEGIES_FILE}, which no log holds.")
    )
    for statement in document.banner:
        _box(statement)
    st.subheader("On all hospitals' test patients")
    table = strategies_page.strategies_table(findings)
    _chart(strategies_page.strategies_chart(findings), table, _LOW_CHART)
    st.caption(presentation.plain(strategies_page.seeds_sentence(findings)))
    _table(strategies_page.hospitals_table(findings))
    st.caption(presentation.plain(strategies_page.own_models_sentence(findings)))
    _downloads("The comparison", "comparison", lambda: document)


def _drawing(drawn: baseline_parts.Drawing, width: Literal["stretch", "content"]) -> None:
    st.subheader(drawn.title)
    st.altair_chart(drawn.chart, theme=None, width=width)
    st.caption(presentation.plain(drawn.caption))
    with st.expander("The numbers behind this chart"):
        st.dataframe(presentation.readable(drawn.table), hide_index=True, width="stretch")


def _figures(items: Sequence[tuple[str, str, str]]) -> None:
    for column, (label, value, note) in zip(st.columns(len(items)), items, strict=True):
        column.metric(label, value)
        column.caption(note)


def _table(table: Table) -> None:
    st.subheader(table.title)
    st.dataframe(presentation.readable(table), hide_index=True, width="stretch")
    if table.note:
        st.caption(presentation.plain(table.note))


def _chart(chart: charts.Chart, table: Table, height: int = _CHART_HEIGHT) -> None:
    fitting = chart.properties(height=max(height, _ROW_HEIGHT * len(table.rows)))
    st.altair_chart(fitting, theme=None, width="stretch")
    with st.expander("The numbers behind this chart"):
        st.dataframe(presentation.readable(table), hide_index=True, width="stretch")


def _audit(dossier: Dossier) -> None:
    st.subheader("Audit trail")
    words = st.text_input("Search the entries of this run", placeholder="for example: result")
    found = presentation.found_entries(dossier.audit.entries, words)
    st.caption(f"{len(found)} of {len(dossier.audit.entries)} entries; root {dossier.audit.root}")
    rows = [
        {
            "Index": entry.index,
            "Time": show(entry.time, Format.TIME),
            "Type": entry.type,
            "Digest of the details": entry.payload,
            "Leaf": entry.leaf_hash,
        }
        for entry in found
    ]
    st.dataframe(rows, hide_index=True, width="stretch")


def _downloads(title: str, name: str, document: Callable[[], Document]) -> None:
    st.subheader(title)
    for column, (form, (render, mime)) in zip(
        st.columns(len(_FORMATS)), _FORMATS.items(), strict=True
    ):
        column.download_button(
            f"Download as {form.upper()}",
            data=partial(_rendered, document, render),
            file_name=f"{name}.{form}",
            mime=mime,
            on_click="ignore",
            width="stretch",
        )


def _rendered(document: Callable[[], Document], render: Callable[[Document], str]) -> bytes:
    return render(document()).encode()


if __name__ == "__main__":
    run(sys.argv[1:])
