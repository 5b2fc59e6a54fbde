"""The cost of a set of studies for the same patients, and the budget that suffices for it."""

import math
from collections.abc import Sequence

from collegium.simulation.settings import DEFAULT_BUDGET
from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.privacy.budget_filter import Filter
from protocol.study.study import Study


def budget_for(studies: Sequence[Study]) -> float:
    """Returns a life-long epsilon that suffices for all of these studies on the same patients.

    A sweep asks what each alternative would give; a simulation's stand-in
    patients pay for all of them, and the report shows what that came to. It is
    at least ``DEFAULT_BUDGET``.

    Raises:
        StudyRefused: a study's noise does not keep what one of its hospitals promises.
    """
    by_site: dict[str, list[PrivacyPlan]] = {}
    for study in studies:
        for site in study.site_names:
            plan = PrivacyPlan.at(study, site)
            if plan is not None:
                by_site.setdefault(site, []).append(plan)
    if not by_site:
        return DEFAULT_BUDGET
    delta = min(plan.delta for plans in by_site.values() for plan in plans)
    budget = DEFAULT_BUDGET
    while not all(_suffices(budget, delta, plans) for plans in by_site.values()):
        budget *= 1.25
    return float(math.ceil(budget))


def _suffices(epsilon: float, delta: float, plans: Sequence[PrivacyPlan]) -> bool:
    """Whether a budget holds all plans; every patient may be trained and tested on."""
    events = tuple(event for plan in plans for event in plan.events)
    return Filter(epsilon_max=epsilon, delta=delta).share_of(events) * 1.0001 <= 1
