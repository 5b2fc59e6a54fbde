"""Metrics of what the alerts' watch has found about models."""

from dataclasses import replace
from datetime import timedelta

from collegium.output.telemetry.alert_metrics import show_facts
from coordinator.http.metrics.service_metrics import Metrics
from tests.support.simulated.alert_facts import CALM, TROUBLE


def test_ended_canaries_are_counted_and_the_longest_disagreement_is_told_in_seconds() -> None:
    metrics = Metrics()

    def shown() -> tuple[float | None, float | None]:
        names = ("collegium_canaries_ended", "collegium_served_other_seconds")
        first, second = map(metrics.registry.get_sample_value, names)
        return first, second

    show_facts(metrics, replace(CALM, **TROUBLE["canary"], **TROUBLE["served_other"]))
    day = timedelta(hours=25).total_seconds()
    assert shown() == (1.0, day)
    show_facts(metrics, replace(CALM, canaries=None, served_other=None))  # could not be read
    assert shown() == (1.0, day)
    show_facts(metrics, replace(CALM, canaries=(), served_other=()))
    assert shown() == (0.0, 0.0)
