"""Metrics of what the alerts' watch has found: certificates, budgets, incidents, models, faults."""

from coordinator.alerts.facts import AlertFacts
from coordinator.http.metrics.service_metrics import Metrics


def show_facts(metrics: Metrics, facts: AlertFacts) -> None:
    """Shows the facts of one look; a part that could not be read stays as it was.

    Args:
        metrics: the service's figures.
        facts: what was found.
    """
    metrics.looked.set(facts.now.timestamp())
    if facts.expiries is not None:
        metrics.ends.clear()
        for end in facts.expiries:
            of = end.of if end.of in ("hospitals", "roster") else end.name
            metrics.ends.labels(of, end.site or "").set(end.ends.timestamp())
    if facts.shares is not None:
        metrics.budget.clear()
        for share in facts.shares:
            metrics.budget.labels(share.site).set(share.share)
    if facts.incidents is not None:
        due = [one.notify_by.timestamp() for one in facts.incidents if one.notify_by is not None]
        metrics.incidents.set(len(facts.incidents))
        metrics.incident_due.set(min(due, default=0.0))
    if facts.canaries is not None:
        metrics.canaries_ended.set(len(facts.canaries))
    if facts.served_other is not None:
        longest = max((one.lasted.total_seconds() for one in facts.served_other), default=0.0)
        metrics.served_other.set(longest)
    if facts.faults is not None:
        metrics.faults.set(facts.faults)
