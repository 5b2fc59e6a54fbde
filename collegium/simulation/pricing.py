"""The cost of studies: the budget that suffices for several, and the bytes of a round."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from collegium.simulation.settings import DEFAULT_BUDGET
from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.privacy.budget_filter import Filter
from protocol.secagg.context import round_context
from protocol.study.rounds.sent_sum import SentSum, can_be_sent
from protocol.study.strategies.server_state import begun, model_of
from protocol.study.study import Study
from protocol.vectors.adaptive_clip import with_clip
from protocol.vectors.tensors import encode_tensors, layout_of


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


@dataclass(frozen=True, kw_only=True)
class RoundBytes:
    """The bytes that cross at one hospital in a training round, beside keys, shares and signatures.

    ``up`` is its masked vector of ``sent`` numbers in ``ring_bits`` each, of ``parameters``;
    ``down`` the model, or the sum from which it follows (``as_sum``).
    """

    up: int
    down: int
    sent: int
    parameters: int
    ring_bits: int
    frac_bits: int
    as_sum: bool


def round_bytes(study: Study) -> RoundBytes:
    """Returns what crosses in a study's second training round; its network is built for it.

    Raises:
        StudyRefused: the study's ring cannot hold sums of steps that are fine enough.
    """
    from pipelines.networks.networks import build, parameters_of

    initial = parameters_of(build(study.task, study.cohort, study.seeds.model))
    if study.privacy.adaptive_clip is not None:
        initial = dict(with_clip(initial))
    model = model_of(study.training, layout_of(initial), begun(study.training, initial))
    context = round_context(
        study, run_id="forecast", roster_digest="0" * 64, round_kind="training", number=0,
        attempt=0, draw=0, log_size=0, log_root="0" * 64, model=model,
    )  # fmt: skip
    as_sum, down = can_be_sent(study, 0), len(encode_tensors(model))
    if as_sum:
        nothing = np.zeros(context.dim, dtype=f"<u{context.ring_bits // 8}")
        down = len(SentSum(survivors=study.site_names, total=nothing).to_bytes)
    return RoundBytes(
        up=context.blob_bytes, down=down, sent=context.dim, parameters=layout_of(initial).size,
        ring_bits=context.ring_bits, frac_bits=context.frac_bits, as_sum=as_sum,
    )  # fmt: skip
