"""Says in words what the charts draw, for those who listen and for those who search.

Each ``describe_...`` is the twin of a chart; its text travels inside the drawing.
"""

import math
from collections.abc import Sequence

from compliance.documents import Form, show
from compliance.dossier import RoundFacts, SiteFacts
from compliance.utility import UtilityPoint, utility_levels

TOO_FEW = "too few patients for this ε"
#: A round in one of these states yielded nothing.
UNFINISHED = frozenset({"open", "running", "interrupted", "stopped", "failed", "refused"})


def describe_utility(points: Sequence[UtilityPoint]) -> str:
    """Says in words what ``charts.utility_against_epsilon`` draws."""
    parts = []
    for level in utility_levels(points):
        where = "without privacy" if level.epsilon is None else f"at ε = {level.epsilon:g}"
        runs = "1 run" if level.num_runs == 1 else f"{level.num_runs} runs"
        parts.append(
            f"{where}, {level.kind}: mean {level.mean:.3f} over {runs}, "
            f"from {level.low:.3f} to {level.high:.3f}"
        )
    return "AUROC against ε. " + "; ".join(parts) + "."


def describe_sites(sites: Sequence[SiteFacts]) -> str:
    """Says in words what ``charts.site_metrics`` draws."""
    parts = []
    for site in sites:
        released, exact = site.released_accuracy, site.exact_accuracy
        said = []
        if released is not None:
            said.append(f"released {show(released, Form.RATIO)}")
        if exact is not None:
            said.append(f"exact {exact:.3f} (simulation only)")
        parts.append(f"{site.site}: {', '.join(said) or 'not available'}")
    return "Accuracy at each hospital. " + "; ".join(parts) + "."


def describe_privacy(sites: Sequence[SiteFacts]) -> str:
    """Says in words what ``charts.privacy_spent`` draws."""
    parts = []
    for site in sites:
        claim = site_claim(site)
        said = (
            "no privacy claimed" if claim is None else f"this run ε = {show(claim, Form.EPSILON)}"
        )
        parts.append(f"{site.site}: {said}, enforced {spent_of_budget(site)}")
    return "Privacy spent at each hospital. " + "; ".join(parts) + "."


def describe_rounds(rounds: Sequence[RoundFacts]) -> str:
    """Says in words what ``charts.rounds_timeline`` draws."""
    completed = [r for r in rounds if r.state not in UNFINISHED]
    dropped = sum(len(r.dropped) for r in rounds)
    seconds = sum(r.seconds or 0.0 for r in rounds)
    training = sum(r.purpose == "training" for r in completed)
    return (
        f"{len(rounds)} rounds in {seconds:.1f} seconds: {training} of training and "
        f"{len(completed) - training} of evaluation completed, {len(rounds) - len(completed)} "
        f"not completed; sites dropped out {dropped} times."
    )


def site_claim(site: SiteFacts) -> float | None:
    """Returns what this run claims for any one patient of a hospital, or None.

    Training and test patients are different people, so it is the larger of the
    two epsilons, not their sum.
    """
    claims = [site.privacy.epsilon, site.privacy.epsilon_evaluation]
    return max((c for c in claims if c is not None), default=None)


def spent_of_budget(site: SiteFacts) -> str:
    """Returns what a hospital has booked over all its runs, and of how much."""
    spent, budget = site.privacy.enforced_epsilon, site.privacy.budget_epsilon
    said = "nothing booked" if spent is None else show(spent, Form.EPSILON)
    if budget is not None and math.isinf(budget):
        return f"{said}, no limit"
    return said if budget is None else f"{said} of {show(budget, Form.NUMBER)}"


def released_value(site: SiteFacts) -> float | None:
    """Returns a hospital's released accuracy, or None when it says too little to be shown."""
    released = site.released_accuracy
    return None if released is None or released.note else released.value
