"""``python -m tests.docs.grafana_dashboard``: writes ``examples/consortium/grafana.json``.

Grafana's dashboard model, schema version 39. Thresholds are those of the alert rules: a panel
names its alert, and the number is read from the rule.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML

from tests import ROOT

FOLDER = ROOT / "examples" / "consortium"
FILE = FOLDER / "grafana.json"
_SCHEMA = 39
_WIDE, _HIGH, _ROW = 8, 7, 24
#: Grafana's name of the place from which a panel reads.
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_COMPARED = re.compile(r"([<>]=?)\s*([0-9.]+)(?:\s+and\s.*)?\s*$")


@dataclass(frozen=True, kw_only=True)
class Panel:
    """A panel: what it asks Prometheus, its unit, and the alert whose threshold it shows."""

    title: str
    told: str
    asks: dict[str, str]
    unit: str = "short"
    alert: str | None = None
    kind: str = "timeseries"


ROWS: dict[str, tuple[Panel, ...]] = {
    "Now": (
        Panel(
            title="Coordinator",
            told="1 while the service answers Prometheus, and its database can be read.",
            asks={"service": 'up{job="collegium"}', "database": "collegium_database_up"},
            kind="stat",
        ),
        Panel(
            title="Runs at work",
            told="Runs by state; one that waits says for whom in coordinator status.",
            asks={"{{state}}": "collegium_runs"},
            kind="stat",
        ),
        Panel(
            title="Alerts and incidents",
            told="Open alerts of alert-rules.yaml by severity, and incidents that are not closed.",
            asks={
                "{{severity}}": "collegium_alerts_open",
                "incidents": "collegium_incidents_open",
            },
            kind="stat",
        ),
        Panel(
            title="Time left to notify an incident",
            told="Seconds to the first notification that is due; nothing where none is.",
            asks={"left": "(collegium_incident_due_timestamp_seconds > 0) - time()"},
            unit="s",
            alert="IncidentClockEnds",
            kind="stat",
        ),
        Panel(
            title="Faults in the records",
            told="What the newest verification of all records against the signed log has found.",
            asks={"faults": "collegium_record_faults"},
            alert="RecordsDoNotVerify",
            kind="stat",
        ),
        Panel(
            title="Disk that is free",
            told="Share of the coordinator's disk that is free. DiskFull pages at 3 %.",
            asks={"free": "collegium_folder_free_bytes / collegium_folder_disk_bytes"},
            unit="percentunit",
            alert="DiskFills",
            kind="stat",
        ),
    ),
    "Rounds": (
        Panel(
            title="Rounds finished",
            told="Rounds an hour, by kind.",
            asks={"{{round_kind}}": "sum by (round_kind) (increase(collegium_rounds_total[1h]))"},
        ),
        Panel(
            title="Longest time without progress",
            told="Seconds since a run in this state began or finished a round.",
            asks={"{{state}}": 'collegium_run_idle_seconds{state=~"running|waiting"}'},
            unit="s",
            alert="RunStandsStill",
        ),
        Panel(
            title="Attempts that failed",
            told="Attempts an hour that failed before their round was finished.",
            asks={"failed": "sum(increase(collegium_round_retries_total[1h]))"},
            alert="RoundsFail",
        ),
        Panel(
            title="Time of a round",
            told="Median and 95th percentile of finished rounds over six hours, by kind.",
            asks={
                f"{{{{round_kind}}}} p{share}": f"histogram_quantile(0.{share}, sum by (round_kind,"
                " le) (increase(collegium_round_seconds_bucket[6h])))"
                for share in ("50", "95")
            },
            unit="s",
        ),
        Panel(
            title="Time of each step",
            told="Mean seconds of the secure sum's steps over an hour.",
            asks={
                "{{step}}": "sum by (step) (increase(collegium_step_seconds_sum[1h])) / "
                "sum by (step) (increase(collegium_step_seconds_count[1h]))"
            },
            unit="s",
        ),
        Panel(
            title="Log not cosigned",
            told="Age of the oldest entry that no quorum has cosigned; between runs it may grow.",
            asks={"age": "collegium_log_uncosigned_seconds"},
            unit="s",
            alert="LogNotCosigned",
        ),
    ),
    "Hospitals": (
        Panel(
            title="Silence",
            told="Seconds since a hospital was last heard from.",
            asks={"{{site}}": 'time() - collegium_site_heard_timestamp_seconds{site=~"$site"}'},
            unit="s",
            alert="HospitalSilent",
        ),
        Panel(
            title="Update propagation",
            told="Median seconds from a round's opening to each hospital's update, over six hours: "
            "line and computation together.",
            asks={
                "{{site}}": "histogram_quantile(0.5, sum by (site, le) "
                '(increase(collegium_update_seconds_bucket{site=~"$site"}[6h])))'
            },
            unit="s",
            alert="HospitalSlow",
        ),
        Panel(
            title="Rounds missed",
            told="Finished rounds of six hours in whose sum a hospital of the study was not.",
            asks={"{{site}}": 'increase(collegium_site_missing_rounds_total{site=~"$site"}[6h])'},
            alert="HospitalMissesRounds",
        ),
        Panel(
            title="Bytes",
            told="Bytes a second of finished rounds, by hospital and direction.",
            asks={
                "{{site}} {{direction}}": "sum by (site, direction) "
                '(rate(collegium_site_bytes_total{site=~"$site"}[1h]))'
            },
            unit="Bps",
        ),
        Panel(
            title="Certificates of hospitals",
            told="Seconds until each hospital's certificate ends; it renews itself before.",
            asks={
                "{{site}}": 'collegium_end_timestamp_seconds{of="hospitals", site=~"$site"} - '
                "time()"
            },
            unit="s",
            alert="HospitalCertificateEnds",
        ),
        Panel(
            title="Budget booked",
            told="Share of its patients' budget for life that each hospital signed as booked.",
            asks={"{{site}}": 'collegium_site_budget_used_ratio{site=~"$site"}'},
            unit="percentunit",
            alert="BudgetNearlyUsed",
        ),
    ),
    "Service": (
        Panel(
            title="Requests",
            told="Requests a second, by endpoint and code.",
            asks={
                "{{endpoint}} {{code}}": "sum by (endpoint, code) "
                "(rate(collegium_requests_total[10m]))"
            },
            unit="reqps",
        ),
        Panel(
            title="Slowest requests",
            told="99th percentile of seconds to a reply; a blob takes as long as its line.",
            asks={
                "{{endpoint}}": "histogram_quantile(0.99, sum by (endpoint, le) "
                "(rate(collegium_request_seconds_bucket[10m])))"
            },
            unit="s",
            alert="RequestsSlow",
        ),
        Panel(
            title="Refused without proof of the sender",
            told="Requests of ten minutes whose sender was not proven.",
            asks={"refused": "increase(collegium_refused_total[10m])"},
            alert="ManyRefusedRequests",
        ),
        Panel(
            title="Acts of people",
            told="Acts of ten minutes by outcome; the threshold is that of refused ones.",
            asks={"{{outcome}}": "increase(collegium_acts_total[10m])"},
            alert="ActsRefused",
        ),
        Panel(
            title="Size of the log",
            told="Entries of the audit log, and how many of them a quorum has cosigned.",
            asks={
                "entries": "collegium_log_entries",
                "cosigned": "collegium_log_cosigned_entries",
            },
        ),
        Panel(
            title="Messages that do not arrive",
            told="Messages about alerts that were tried and have not arrived.",
            asks={"{{state}}": "collegium_alert_messages"},
            alert="WebhooksFail",
        ),
    ),
}


def rules() -> dict[str, str]:
    """Returns the expression of every alert of the coordinator's machine, by name."""
    groups = YAML(typ="safe").load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def threshold(expression: str) -> tuple[str, float]:
    """Returns how a rule's expression compares, and with which number.

    >>> threshold("a - time() < 172800"), threshold("a > 21600 and on () b > 0")
    (('<', 172800.0), ('>', 21600.0))
    """
    first = expression.split(" and on ")[0]
    found = _COMPARED.search(first)
    if found is None:
        raise ValueError(f"no threshold in {expression}")
    return found[1], float(found[2])


def _steps(alert: str | None) -> list[dict[str, Any]]:
    """Returns the colours of a panel: red on the side of the threshold where the rule fires."""
    if alert is None:
        return [{"color": "text", "value": None}]
    compared, number = threshold(rules()[alert])
    below, above = ("green", "red") if compared.startswith(">") else ("red", "green")
    return [{"color": below, "value": None}, {"color": above, "value": number}]


def _panel(number: int, panel: Panel, x: int, y: int) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "min": None if "time()" in str(panel.asks) else 0,
        "color": {"mode": "thresholds" if panel.kind == "stat" else "palette-classic"},
        "thresholds": {"mode": "absolute", "steps": _steps(panel.alert)},
        "custom": {"thresholdsStyle": {"mode": "line" if panel.alert else "off"}},
        "noValue": "none",
    }
    if panel.kind == "stat":
        del defaults["custom"]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.told + (f" Alert: {panel.alert}." if panel.alert else ""),
        "datasource": _SOURCE,
        "gridPos": {"x": x, "y": y, "w": _WIDE, "h": _HIGH},
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _SOURCE,
                "expr": expression,
                "legendFormat": legend,
            }
            for place, (legend, expression) in enumerate(panel.asks.items())
        ],
        "fieldConfig": {
            "defaults": {name: v for name, v in defaults.items() if v is not None},
            "overrides": [],
        },
        "options": {},
    }


def _panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    y, number = 0, 1
    for title, panels in ROWS.items():
        found.append(
            {
                "id": number,
                "type": "row",
                "title": title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": y, "w": _ROW, "h": 1},
                "panels": [],
            }
        )
        y, number, x = y + 1, number + 1, 0
        for panel in panels:
            if x + _WIDE > _ROW:
                x, y = 0, y + _HIGH
            found.append(_panel(number, panel, x, y))
            x, number = x + _WIDE, number + 1
        y += _HIGH
    return found


def dashboard() -> dict[str, Any]:
    """Returns the dashboard as Grafana imports it."""
    return {
        "uid": "collegium-consortium",
        "title": "Collegium: a consortium",
        "description": "The coordinator of a consortium: docs/observability.md says what to do.",
        "tags": ["collegium"],
        "schemaVersion": _SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [],
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "type": "datasource",
                    "label": "Prometheus",
                    "query": "prometheus",
                },
                {
                    "name": "site",
                    "type": "query",
                    "label": "Hospital",
                    "datasource": _SOURCE,
                    "query": "label_values(collegium_site_heard_timestamp_seconds, site)",
                    "refresh": 2,
                    "multi": True,
                    "includeAll": True,
                    "allValue": ".*",
                    "current": {"text": "All", "value": "$__all"},
                },
            ]
        },
        "panels": _panels(),
    }


def text() -> str:
    """Returns the file."""
    return json.dumps(dashboard(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
