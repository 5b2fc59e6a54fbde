"""docs/observability.md, the alert rules and the Grafana dashboard name what the code has."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from ruamel.yaml import YAML

from coordinator.http.metrics.service_metrics import Metrics
from coordinator.http.metrics.state_metrics import StateMetrics
from dashboard.server.metrics import DashboardMetrics
from silos.network.metrics import SiloMetrics
from tests import ROOT
from tests.docs.grafana_dashboard import FILE, FOLDER, ROWS, rules, text, threshold

PAGE = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
RULES = ("alerts.yaml", "silo-alerts.yaml")
#: What a histogram's samples are called behind its name, and a counter's.
_ENDINGS = re.compile(r"_(bucket|sum|count)$")


def registries() -> Iterator[CollectorRegistry]:
    """Yields everything that is exposed: the coordinator's, a hospital's, the dashboard's."""
    metrics = Metrics()
    state = StateMetrics(None, Path(), runs=list, heard=dict, began=0.0)  # type: ignore[arg-type]
    state.collect = state.describe  # type: ignore[method-assign]  # of no folder
    metrics.registry.register(state)
    yield metrics.registry
    yield SiloMetrics(Path()).registry
    yield DashboardMetrics(()).registry


def families() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Returns kind and labels of every metric by the name under which it is asked for."""
    found = {}
    for registry in registries():
        for collector in registry._collector_to_names:
            own = [collector] if hasattr(collector, "_labelnames") else []
            for family in collector.describe():
                labels = own[0]._labelnames if own else family._labelnames
                name = f"{family.name}_total" if family.type == "counter" else family.name
                found[name] = family.type, tuple(labels)
    return found


def rows(heading: str) -> list[list[str]]:
    """Returns the cells of every table whose head begins with a word."""
    tables = re.findall(rf"^\| {heading} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    lines = [line for table in tables for line in table.strip().split("\n")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def alerts() -> dict[str, dict[str, Any]]:
    """Returns every rule by the name of its alert."""
    groups = [
        group
        for name in RULES
        for group in YAML(typ="safe").load((FOLDER / name).read_text(encoding="utf-8"))["groups"]
    ]
    found = [rule for group in groups for rule in group["rules"]]
    by_name = {rule["alert"]: rule for rule in found}
    assert len(by_name) == len(found)
    return by_name


def asked(expression: str) -> set[str]:
    """Returns the metrics that an expression asks for."""
    return {_ENDINGS.sub("", name) for name in re.findall(r"collegium_\w+", expression)}


def labels_in(expression: str) -> set[tuple[str, str]]:
    """Returns each metric with the labels by which an expression chooses."""
    chosen = re.findall(r"(collegium_\w+)\{([^}]*)\}", expression)
    return {
        (_ENDINGS.sub("", name), label)
        for name, inside in chosen
        for label in re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", inside)
    }


def test_the_tables_of_metrics_are_the_code() -> None:
    told = {name.strip("`"): (kind, labels) for name, kind, labels, _ in rows("metric")}
    known = {name: (kind, ", ".join(labels)) for name, (kind, labels) in families().items()}
    assert told == known


def test_no_label_can_grow_without_bound() -> None:
    bounded = {
        "code", "direction", "endpoint", "kind", "of", "outcome", "page", "reason", "round_kind",
        "severity", "site", "state", "step",
    }  # fmt: skip
    assert {label for _, labels in families().values() for label in labels} == bounded


def test_the_table_of_alerts_is_the_rules() -> None:
    told = {name.strip("`"): severity for name, severity, *_ in rows("alert")}
    assert told == {name: rule["labels"]["severity"] for name, rule in alerts().items()}


@pytest.mark.parametrize("name", alerts())
def test_an_alert_watches_what_exists_and_says_what_to_do(name: str) -> None:
    rule, known = alerts()[name], families()
    assert asked(rule["expr"]) <= known.keys()
    assert all(label in known[metric][1] for metric, label in labels_in(rule["expr"]))
    assert {"summary", "remedy"} == rule["annotations"].keys()
    for label in re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]):
        assert all(label in known[metric][1] for metric in asked(rule["expr"]))
    headings = re.findall(r"^#+ (.*)$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE)
    for part in re.findall(r"operations\.md, ([\w ]+)[.)]", rule["annotations"]["remedy"]):
        assert part in headings
    for page in re.findall(r"docs/([\w-]+\.md)", rule["annotations"]["remedy"]):
        assert (ROOT / "docs" / page).is_file()


def panels() -> list[dict[str, Any]]:
    """Returns the panels of the shipped dashboard that show something."""
    found = json.loads(FILE.read_text(encoding="utf-8"))["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def test_the_shipped_dashboard_is_the_one_that_the_code_makes() -> None:
    assert FILE.read_text(encoding="utf-8") == text()


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_asks_for_what_exists_with_a_unit_and_a_description(panel: dict[str, Any]) -> None:
    known, defaults = families(), panel["fieldConfig"]["defaults"]
    assert panel["description"].endswith(".") and defaults["unit"]
    for target in panel["targets"]:
        assert asked(target["expr"]) <= known.keys()
        assert asked(target["expr"]) or target["expr"] == 'up{job="collegium"}'
        for metric, label in labels_in(target["expr"]):
            assert label in known[metric][1], target["expr"]
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            assert all(label in known[metric][1] for metric in asked(target["expr"]))


def test_the_thresholds_of_panels_are_those_of_the_rules() -> None:
    shown = {panel["title"]: panel for panel in panels()}
    watched = [one for row in ROWS.values() for one in row if one.alert is not None]
    assert watched
    for one in watched:
        assert one.alert is not None
        rule = rules()[one.alert]
        assert asked(rule) & asked(" ".join(one.asks.values())), one.title
        _, number = threshold(rule)
        steps = shown[one.title]["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert [step["value"] for step in steps] == [None, number]
        assert f"Alert: {one.alert}." in shown[one.title]["description"]


def test_panels_have_places_of_their_own_and_numbers_that_differ() -> None:
    every = json.loads(FILE.read_text(encoding="utf-8"))["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in every:
        place = panel["gridPos"]
        own = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not own & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= own
    assert len({panel["id"] for panel in every}) == len(every)
