"""A hospital's metrics: what a coordinator asks makes no labels, and no budget is no broken one."""

from pathlib import Path

import pytest

from protocol.errors import LedgerBroken
from silos.network.metrics import KINDS, SiloMetrics


@pytest.fixture
def metrics(tmp_path: Path) -> SiloMetrics:
    return SiloMetrics(tmp_path)


def value(metrics: SiloMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"collegium_silo_{name}", labels)


def test_a_kind_that_the_protocol_does_not_have_is_other(metrics: SiloMetrics) -> None:
    for number in range(100):
        metrics.delivered(f"kind-{number}", "refused", 0.1, 1, 2)
    metrics.delivered("masked", "answered", 0.1, 1, 2)
    kinds = {
        sample.labels["kind"]
        for family in metrics.registry.collect()
        for sample in family.samples
        if "kind" in sample.labels
    }
    assert kinds == {"other", "masked"} and "masked" in KINDS
    assert value(metrics, "bytes_total", direction="received") == 202


def test_a_line_that_was_lost_is_not_connected(metrics: SiloMetrics) -> None:
    metrics.line_answers()
    assert value(metrics, "connected") == 1
    metrics.line_lost()
    assert value(metrics, "connected") == 0
    assert value(metrics, "line_lost_total") == 1


def test_a_hospital_without_a_budget_has_a_database(metrics: SiloMetrics) -> None:
    metrics.budget_of(lambda: None)
    assert value(metrics, "database_up") == 1
    metrics.budget_of(lambda: 0.25)
    assert value(metrics, "budget_used_ratio") == 0.25


def test_a_ledger_that_cannot_be_read_is_told_and_its_share_stays(metrics: SiloMetrics) -> None:
    def broken() -> float:
        raise LedgerBroken("changed")

    metrics.budget_of(lambda: 0.25)
    metrics.budget_of(broken)
    assert value(metrics, "database_up") == 0
    assert value(metrics, "budget_used_ratio") == 0.25


def test_a_folder_that_is_gone_has_no_free_bytes(tmp_path: Path) -> None:
    free = value(SiloMetrics(tmp_path / "none"), "folder_free_bytes")
    assert free is not None and free != free
