"""Alerts in rows: the gravest first."""

from collections.abc import Sequence

from compliance.facts.formatting import Format, show
from coordinator.views.alerts import Alert
from protocol.counted import counted


def alert_rows(alerts: Sequence[Alert]) -> list[dict[str, str]]:
    """Returns alerts as texts under their column titles: the gravest first, then the newest."""
    grave = {"critical": 0, "warning": 1, "info": 2}
    return [
        {
            "Number": str(alert.number),
            "Severity": alert.severity,
            "Since": show(alert.raised_at, Format.TIME),
            "What": str(alert.cause["text"]),
            "Taken note of by": _taken_note(alert),
            "Not delivered to": ", ".join(sorted({one.webhook for one in alert.unsent})),
            "Ended": "" if alert.closed_at is None else show(alert.closed_at, Format.TIME),
            "Run": alert.run or "",
            "What to do": str(alert.cause["remedy"]),
        }
        for alert in sorted(alerts, key=lambda one: (grave.get(one.severity, 3), -one.number))
    ]


def _taken_note(alert: Alert) -> str:
    if alert.acknowledged_by is None:
        return "nobody yet"
    said = f": {alert.note}" if alert.note else ""
    return f"{alert.acknowledged_by}, {show(alert.acknowledged_at, Format.TIME)}{said}"


def alerts_caption(alerts: Sequence[Alert]) -> str:
    """Returns what stands below the open alerts: how many wait, and how one takes note of them."""
    waiting = sum(alert.acknowledged_by is None for alert in alerts)
    return (
        f"{counted(len(alerts), 'open alert')}, of which {waiting} nobody has taken note of yet: "
        "collegium alerts acknowledge NUMBER --by NAME, or --as KEYFILE where people are "
        "registered. An alert ends with its cause."
    )


def alert_label(alert: Alert) -> str:
    """Returns one line that tells an alert from the others."""
    text = str(alert.cause["text"])
    short = text if len(text) <= 80 else f"{text[:79]}…"
    return f"{alert.number} · {alert.severity} · {short}"
