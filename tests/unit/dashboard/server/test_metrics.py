"""The dashboard's metrics count what happened, under bounded labels that name nobody."""

import pytest

from dashboard.server.metrics import DashboardMetrics
from protocol.errors import PolicyRefused, WorkspaceRefused

PAGES = ("today", "runs")


@pytest.fixture
def metrics() -> DashboardMetrics:
    return DashboardMetrics(PAGES)


def value(metrics: DashboardMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"collegium_dashboard_{name}", labels)


def test_what_never_happened_is_shown_as_nothing_rather_than_left_out(
    metrics: DashboardMetrics,
) -> None:
    """A rule about an increase sees the first refusal only where there was a 0 before it."""
    assert value(metrics, "logins_total", outcome="refused") == 0
    assert value(metrics, "refusals_total", reason="wrong role") == 0


def test_logins_and_refusals_are_counted(metrics: DashboardMetrics) -> None:
    metrics.login("refused")
    metrics.login("refused")
    metrics.login("locked")
    metrics.refused("cross site")
    metrics.sessions.inc()
    assert value(metrics, "logins_total", outcome="refused") == 2
    assert value(metrics, "logins_total", outcome="locked") == 1
    assert value(metrics, "refusals_total", reason="cross site") == 1
    assert value(metrics, "sessions") == 1


def test_a_script_is_timed_also_where_it_ends_in_an_error(metrics: DashboardMetrics) -> None:
    with metrics.script("runs"):
        pass
    with pytest.raises(ValueError, match="broken"), metrics.script("runs"):
        raise ValueError("broken")
    assert value(metrics, "script_seconds_count", page="runs") == 2
    assert value(metrics, "script_errors_total", page="runs") == 1


def test_what_a_role_may_not_see_is_a_refusal_and_no_error(metrics: DashboardMetrics) -> None:
    with pytest.raises(PolicyRefused), metrics.script("runs"):
        raise PolicyRefused("not for this role")
    assert value(metrics, "refusals_total", reason="wrong role") == 1
    assert value(metrics, "script_errors_total", page="runs") is None


def test_a_run_that_is_not_there_is_no_error_of_the_dashboard(metrics: DashboardMetrics) -> None:
    with pytest.raises(WorkspaceRefused), metrics.script("runs"):
        raise WorkspaceRefused("there is no such run")
    assert value(metrics, "script_errors_total", page="runs") is None


def test_an_address_that_somebody_types_makes_no_label(metrics: DashboardMetrics) -> None:
    for number in range(100):
        with metrics.script(f"page-{number}"):
            pass
    pages = {
        sample.labels["page"]
        for family in metrics.registry.collect()
        for sample in family.samples
        if "page" in sample.labels
    }
    assert pages == {"other"}
