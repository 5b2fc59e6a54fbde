"""Training in one process by the hospitals' own trainer and the coordinator's own server step.

Nothing is masked, for nobody is there to hide it from: a sum of the same ring elements is the
same sum without masks. So a model is, bit for bit, that of a simulated run with the same
randomness. Where all records are in one place, no sum is taken at all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from compliance.ledger.privacy_plan import PrivacyPlan
from coordinator.rounds.means import round_mean, summed
from protocol.study.privacy import DistributedPrivacy, PatientPrivacy
from protocol.study.rounds.mean import shared_mean
from protocol.study.rounds.noise_shares import share_multiplier
from protocol.study.rounds.round_vector import round_vector
from protocol.study.strategies.local_steps import OwnState
from protocol.study.strategies.registry import personal_model, strategy_of
from protocol.study.strategies.sent_slots import without_slots
from protocol.study.strategies.server_state import begun, model_of, next_state
from protocol.study.strategies.strategy import Mean
from protocol.study.study import Study
from protocol.vectors.fixed_point import shortened
from protocol.vectors.tensors import Tensors, layout_of
from silos.training.randomness import Entropy, RoundInput
from silos.training.trainer import Trainer


def trained_in_one_place(
    study: Study, trainer: Trainer, plan: PrivacyPlan | None, entropy: Entropy
) -> Tensors:
    """Returns the model of a training whose patients are all in one place: its own, if it has one.

    Args:
        study: in which the place, its first site, declares these patients; it sends all parameters.
        trainer: holds them.
        plan: the noise, in full; None trains without.
        entropy: where sampling and noise come from.
    """
    bound, strategy, place = study.aggregation.bound, strategy_of(study.training), _place(study)
    shared = study.privacy if isinstance(study.privacy, DistributedPrivacy) else None
    own = plan.training.noise_multiplier if plan else None
    noise = shared.noise_multiplier if shared else own

    kept: OwnState = {}

    def mean(model: Tensors, number: int) -> Mean:
        nonlocal kept
        given = RoundInput(model=model, number=number, noise_multiplier=noise, own=kept)
        if shared:
            noised = trainer.noised_sum(given, entropy)
            expected = study.expected_batch(place)
            return shared_mean(study, shared, model, noised.astype(np.float64), expected)
        end = trainer.update(given, entropy)
        update, kept = shortened(end.update, bound), end.own
        scalars = {name: scalar(update, bound) for name, scalar in strategy.scalars.items()}
        moves_clip = study.privacy.adaptive_clip is not None
        return Mean(update=update, scalars=scalars, bound=bound, moves_clip=moves_clip)

    model = _trained(study, trainer.initial_model(), mean)
    return personal_model(study.training, model, kept) or model


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """A federation's global model, and the own models of the hospitals that have one."""

    model: Tensors
    own: Mapping[str, Tensors]


def trained_together(study: Study, trainers: Mapping[str, Trainer], entropy: Entropy) -> Trained:
    """Returns what a federation of these hospitals trains, each with its own noise or share.

    Args:
        study: whose sites are these hospitals.
        trainers: each holds one hospital's patients.
        entropy: where sampling and noise come from.

    Raises:
        StudyRefused: the noise does not keep what a hospital promises.
    """
    plans = {site: PrivacyPlan.at(study, site) for site in trainers}
    initial = next(iter(trainers.values())).initial_model()
    kept: dict[str, OwnState] = {}

    def contribution(site: str, model: Tensors, number: int) -> NDArray[np.unsignedinteger]:
        vector = round_vector(study, model, number)
        if isinstance(study.privacy, DistributedPrivacy):
            share = share_multiplier(study, study.privacy)
            given = RoundInput(model=model, number=number, noise_multiplier=share)
            return vector.encode(site, trainers[site].noised_sum(given, entropy))
        plan = plans[site]
        noise = plan.training.noise_multiplier if plan else None
        own = kept.get(site, {})
        given = RoundInput(
            model=model,
            number=number,
            attempt=_place_of(study, site, number),
            noise_multiplier=noise,
            own=own,
        )
        end = trainers[site].update(given, entropy)
        kept[site] = end.own
        return vector.encode(site, end.update)

    def mean(model: Tensors, number: int) -> Mean:
        sums = summed(study, number, trainers, lambda site: contribution(site, model, number))
        return round_mean(study, model, number, sums).mean

    model = _trained(study, initial, mean)
    own = {site: personal_model(study.training, model, state) for site, state in kept.items()}
    return Trained(model=model, own={site: one for site, one in own.items() if one is not None})


def plan_in_one_place(study: Study) -> PrivacyPlan | None:
    """Returns the price of a study's training in one place; None when it protects nobody.

    Raises:
        StudyRefused: the declared noise multiplier does not keep the promised epsilon.
    """
    privacy = study.privacy_of(_place(study))
    return PrivacyPlan.of(study, privacy) if isinstance(privacy, PatientPrivacy) else None


def _place_of(study: Study, site: str, number: int) -> int:
    """Returns which of a round's sums a hospital is in: the number of their first attempts."""
    sums = study.sums("training", number)
    return next(place for place, one in enumerate(sums) if site in one.sites)


def _place(study: Study) -> str:
    return study.site_names[0]


def _trained(study: Study, initial: Tensors, mean: Callable[[Tensors, int], Mean]) -> Tensors:
    training, state = study.training, begun(study.training, initial)
    layout = layout_of(without_slots(initial))
    for number in range(training.rounds):
        state = next_state(training, state, mean(model_of(training, layout, state), number))
    return model_of(training, layout, state)
