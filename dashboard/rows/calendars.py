"""Calendars of monitoring studies in words and figures."""

from compliance.facts.drift_calendar import DriftCalendar
from compliance.facts.formatting import Format, show


def calendar_label(calendar: DriftCalendar) -> str:
    """Returns one line that tells a calendar from the others: amended plans have one title."""
    return f"{calendar.study_title} · {calendar.study_digest[:8]}"


def calendar_figures(calendar: DriftCalendar) -> tuple[tuple[str, str, str], ...]:
    """Returns the few figures of a calendar that a reader takes away, each with label and note."""
    drifted = {one.column for one in calendar.flagged}
    left = [share for share in calendar.budget_left.values() if share is not None]
    protected = calendar.epsilon is not None
    return (
        ("Releases", str(calendar.made), f"of {calendar.planned} after the reference"),
        ("Left", str(calendar.left), "paid for already" if protected else "of the calendar"),
        ("Columns that drifted", str(len(drifted)), f"of {len(calendar.columns)}, in any release"),
        ("ε for one patient", show(calendar.epsilon, Format.EPSILON) if protected else "none",
         f"for all of it, δ = {show(calendar.delta, Format.SMALL)}" if protected
         else "no privacy is claimed"),
        ("Least budget left", show(min(left, default=None), Format.SHARE_LEFT),
         "for life, at any hospital; the calendar is taken off"),
    )  # fmt: skip


def steps_of(calendar: DriftCalendar) -> tuple[str, ...]:
    """Returns what people should do now, in order, by the keys of the texts about it."""
    if calendar.flagged:
        return ("look_at_records", "ask_hospitals", "check_model", "decide")
    if not calendar.series:
        return ("wait_for_release",)
    if all(release.why_untested for release in calendar.series):
        return ("see_why_untested", "more_patients")
    if calendar.left == 0:
        return ("plan_next",)
    return ("go_on",)
