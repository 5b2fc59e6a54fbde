"""Figures of one run's model: utility, fairness, outcomes, thresholds, calibration."""

from collections.abc import Mapping, Sequence

import streamlit as st

from compliance.charts import run as charts
from compliance.charts.binned_scores.calibration import calibration
from compliance.charts.binned_scores.thresholds import net_benefit_by_threshold, shares_by_threshold
from compliance.charts.descriptions import (
    WITHOUT_PRIVACY,
    gap_text,
    interval_text,
    line_text,
    own_notes,
    studies_text,
    too_small_text,
    withheld_text,
)
from compliance.charts.intervals import interval_rows
from compliance.facts.comparison.modes import gaps
from compliance.facts.dossier import Dossier
from compliance.facts.figures import FigureKind
from compliance.facts.groups import by_grouping
from compliance.facts.privacy_utility import (
    UtilityPoint,
    Withheld,
    compares_modes,
    wholly_withheld,
)
from compliance.reports import run_tables
from compliance.reports.sections import outcomes, own_models, utility
from compliance.reports.sections.fairness import groups
from compliance.reports.sections.fairness.gaps import gap_sentences, group_gap_sentences
from compliance.reports.sections.two_classes import calibration as calibration_parts
from compliance.reports.sections.two_classes import thresholds
from dashboard.elements.charts import show_chart
from dashboard.elements.pieces import show_rows, show_table
from dashboard.reading.views import DashboardViews
from dashboard.rows import words
from dashboard.texts import say


def show_utility(views: DashboardViews, dossier: Dossier) -> None:
    """Shows how good the models of a run's study are against epsilon."""
    st.subheader(say("utility.against_epsilon"))
    show_points(views.utility(dossier.run_id), views.withheld(dossier.run_id))


def show_points(points: Sequence[UtilityPoint], withheld: Sequence[Withheld]) -> None:
    """Shows the figures of runs against epsilon, and of modes of privacy against each other."""
    if not points:
        st.info(say("utility.no_figure"))
        for group in wholly_withheld(points, withheld):
            st.caption(words.plain(withheld_text(group)))
        return
    show_chart(
        charts.utility_against_epsilon(points, withheld),
        utility.utility_table(points, withheld),
        about="utility",
    )
    if said := studies_text(points):
        st.caption(words.plain(said))
    if why := line_text(points):
        st.caption(words.plain(why))
    if len(points) > 1:
        without = f" {WITHOUT_PRIVACY}" if any(point.epsilon is None for point in points) else ""
        st.caption(words.plain(f"{interval_text(points)}{without}"))
    if compares_modes(points):
        _comparison(points, withheld)


def _comparison(points: Sequence[UtilityPoint], withheld: Sequence[Withheld]) -> None:
    for gap in gaps(points):
        st.markdown(words.plain(gap_text(gap)))
    with st.expander(say("utility.modes")):
        show_rows(utility.difference_table(points, withheld))


def show_fairness(dossier: Dossier) -> None:
    """Shows a figure of each hospital, and the gaps between them."""
    st.subheader(say("fairness.hospitals"))
    figure = dossier.site_kinds[0]
    if not any(site.has_figure(figure) for site in dossier.sites):
        st.info(say("fairness.no_hospital"))
        return
    show_chart(
        charts.site_metrics(dossier.sites, figure),
        run_tables.sites_table(dossier),
        about="hospitals",
    )
    if small := too_small_text(own_notes(dossier.sites, figure)):
        st.caption(words.plain(small))
    for said in gap_sentences(dossier, _spoken):
        st.markdown(words.plain(said))
    if dossier.by_global:
        show_table(own_models.comparison_table(dossier))
        st.caption(own_models.EXACT)


def _spoken(name: str, values: Mapping[str, object]) -> str:
    """Returns a sentence about a gap in the language of the page."""
    return say(f"gaps.{name}", **values)


def show_groups(dossier: Dossier) -> None:
    """Shows the figures of groups of patients; nothing where none were counted."""
    if not dossier.groups:
        return
    st.subheader(say("fairness.groups"))
    kinds = groups.drawn_kinds(dossier)
    every = _heights(dossier, kinds)
    for place, kind in zip(st.columns(max(1, len(kinds)), gap="large"), kinds, strict=False):
        with place:
            rows = groups.group_rows(dossier, kind)
            among = every if kind.is_share else ()
            show_chart(
                interval_rows(rows, kind, among=among),
                groups.one_figure_table(dossier, kind),
                about="groups",
            )
    for grouping in by_grouping(dossier.groups):
        st.markdown(f"**{say('fairness.by', grouping=words.plain(grouping))}**")
        for label, said in group_gap_sentences(dossier, grouping, _spoken):
            st.markdown(f"- {words.plain(f'{label}: {said}')}")
    if declined := groups.who_declined(dossier):
        st.markdown(words.plain(declined))
    with st.expander(say("fairness.all_groups")):
        show_rows(groups.groups_table(dossier))
    st.caption(words.plain(groups.COVERED))


def _heights(dossier: Dossier, kinds: Sequence[FigureKind]) -> tuple[float, ...]:
    """Returns all values of the shares that are drawn side by side: they have one scale."""
    return tuple(
        height
        for kind in kinds
        if kind.is_share
        for _, found in groups.group_rows(dossier, kind)
        for height in (found.low, found.value, found.high)
        if height is not None
    )


def show_outcomes(dossier: Dossier) -> None:
    """Shows the figures of each outcome of a task that has several."""
    st.subheader(words.plain(outcomes.outcomes_title(dossier)))
    table, kind = outcomes.outcomes_table(dossier), outcomes.drawn_kind(dossier)
    if kind is None:
        show_rows(table)
    else:
        show_chart(
            interval_rows(outcomes.outcome_rows(dossier, kind), kind), table, about="outcomes"
        )
    st.caption(words.plain(outcomes.COVERED))


def show_thresholds(dossier: Dossier) -> None:
    """Shows what a model of two classes does at each threshold."""
    st.subheader(say("fairness.thresholds"))
    if unknown := thresholds.nothing_known(dossier):
        st.info(words.plain(unknown))
        return
    points, (shares, benefit) = dossier.operating_points, st.columns(2, gap="large")
    with shares:
        show_chart(
            shares_by_threshold(points), thresholds.shares_table(dossier), about="thresholds"
        )
    with benefit:
        show_chart(
            net_benefit_by_threshold(points), thresholds.benefit_table(dossier), about="benefit"
        )
    st.caption(words.plain(thresholds.COVERED))


def show_calibration(dossier: Dossier) -> None:
    """Shows risks told beside shares observed."""
    st.subheader(say("fairness.calibration"))
    if unknown := calibration_parts.not_drawn(dossier):
        st.info(words.plain(unknown))
        return
    drawn = calibration(dossier.calibration, dossier.figures.calibrated)
    show_chart(drawn, calibration_parts.calibration_table(dossier), about="calibration")
    if line := calibration_parts.recalibration_sentence(dossier):
        st.markdown(words.plain(line))
    if said := calibration_parts.error_sentence(dossier):
        st.markdown(words.plain(said))
    st.caption(words.plain(calibration_parts.COVERED))
