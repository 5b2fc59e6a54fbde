"""Calendars of monitoring studies in words and figures."""

from compliance.facts.drift_calendar import DriftCalendar
from compliance.facts.formatting import Format, show
from dashboard.texts import say


def calendar_label(calendar: DriftCalendar) -> str:
    """Returns one line that tells a calendar from the others: amended plans have one title."""
    return f"{calendar.study_title} · {calendar.study_digest[:8]}"


def calendar_figures(calendar: DriftCalendar) -> tuple[tuple[str, str, str], ...]:
    """Returns the few figures of a calendar that a reader takes away, each with label and note."""
    drifted = {one.column for one in calendar.flagged}
    left = [share for share in calendar.budget_left.values() if share is not None]
    protected = calendar.epsilon is not None
    return (
        (say("drift.releases"), str(calendar.made),
         say("drift.after_reference", number=calendar.planned)),
        (say("drift.left"), str(calendar.left),
         say("drift.paid") if protected else say("drift.of_calendar")),
        (say("drift.drifted"), str(len(drifted)),
         say("drift.in_any_release", number=len(calendar.columns))),
        (say("runs.epsilon"),
         show(calendar.epsilon, Format.EPSILON) if protected else say("runs.no_epsilon"),
         say("drift.for_all", delta=show(calendar.delta, Format.SMALL)) if protected
         else say("models.without_privacy")),
        (say("drift.budget_left"), show(min(left, default=None), Format.SHARE_LEFT),
         say("drift.budget_left_note")),
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
