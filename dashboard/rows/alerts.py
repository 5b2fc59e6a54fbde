"""Alerts in rows: the gravest first."""

from collections.abc import Sequence

from compliance.facts.formatting import Format, show
from coordinator.views.alerts import Alert
from dashboard.texts import say


def alert_rows(alerts: Sequence[Alert]) -> list[dict[str, str]]:
    """Returns alerts as texts under their column titles: the gravest first, then the newest."""
    grave = {"critical": 0, "warning": 1, "info": 2}
    return [
        {
            say("alerts.number"): str(alert.number),
            say("alerts.severity"): alert.severity,
            say("alerts.since"): show(alert.raised_at, Format.TIME),
            say("alerts.what"): str(alert.cause["text"]),
            say("alerts.noted_by"): _taken_note(alert),
            say("alerts.undelivered"): ", ".join(sorted({one.webhook for one in alert.unsent})),
            say("alerts.ended"): ""
            if alert.closed_at is None
            else show(alert.closed_at, Format.TIME),
            say("alerts.run"): alert.run or "",
            say("alerts.remedy"): str(alert.cause["remedy"]),
        }
        for alert in sorted(alerts, key=lambda one: (grave.get(one.severity, 3), -one.number))
    ]


def _taken_note(alert: Alert) -> str:
    if alert.acknowledged_by is None:
        return say("alerts.nobody_yet")
    said = f": {alert.note}" if alert.note else ""
    return f"{alert.acknowledged_by}, {show(alert.acknowledged_at, Format.TIME)}{said}"


def alerts_caption(alerts: Sequence[Alert]) -> str:
    """Returns what stands below the open alerts: how many wait, and how one takes note of them."""
    waiting = sum(alert.acknowledged_by is None for alert in alerts)
    return say("alerts.caption", number=len(alerts), fresh=waiting)


def alert_label(alert: Alert) -> str:
    """Returns one line that tells an alert from the others."""
    text = str(alert.cause["text"])
    short = text if len(text) <= 80 else f"{text[:79]}…"
    return f"{alert.number} · {alert.severity} · {short}"
