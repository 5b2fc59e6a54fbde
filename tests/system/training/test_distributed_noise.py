"""Mode D: shares that are enough together, one step a round, and what is left if they are not."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2

from compliance.ledger.entries import State
from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.privacy.accounting import epsilon
from protocol.errors import CohortRefused, QuorumLost, StudyRefused
from protocol.secagg.context import round_context
from protocol.study.privacy import DistributedPrivacy
from protocol.study.rounds.mean import mean_of
from protocol.study.rounds.noise_shares import NoiseShares, share_multiplier
from protocol.study.strategies.registry import STRATEGIES
from protocol.study.strategies.strategy import Mean, ServerState
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.transport.steps import Request
from protocol.vectors.keystream import RingVector
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import changed

DISTRIBUTED = (
    "privacy: {mode: distributed, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 0.5, "
    "noise_multiplier: 2.5}"
)
PER_SITE = "privacy: {mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}"
STEPS = "training: {rounds: 2, local_steps: 2, learning_rate: 0.5, micro_batch: 8}"
ONE_STEP = "training: {strategy: fedsgd, rounds: 3, local_steps: 1, learning_rate: 0.5}"


def distributed(privacy: str = DISTRIBUTED, training: str = ONE_STEP) -> Study:
    text = changed(PER_SITE, privacy).replace(STEPS, training)
    text = text.replace("evaluation: {bins: 8}", "evaluation: {bins: 8, epsilon: 4}")
    return read_study(text)


def privacy_of(study: Study) -> DistributedPrivacy:
    assert isinstance(study.privacy, DistributedPrivacy)
    return study.privacy


def test_honest_shares_alone_make_the_whole_noise() -> None:
    study = distributed()
    share = share_multiplier(study, privacy_of(study))
    honest = study.threshold - study.aggregation.colluders
    assert honest == 2
    assert share * math.sqrt(honest) == pytest.approx(2.5)


@pytest.mark.parametrize("colluders", [0, 1])
def test_a_member_that_knows_its_own_share_still_faces_the_whole_noise(colluders: int) -> None:
    study = distributed()
    aggregation = study.aggregation.model_copy(update={"colluders": colluders})
    study = study.model_copy(update={"aggregation": aggregation})
    plan = PrivacyPlan.of(study, privacy_of(study))
    unknown = share_multiplier(study, privacy_of(study)) * math.sqrt(study.threshold - 1)
    assert epsilon(replace(plan.training, noise_multiplier=unknown), 1e-3) <= plan.epsilon


def test_own_noise_is_a_floor_under_the_share() -> None:
    floor = DISTRIBUTED.replace("2.5}", "2.5, own_noise: 2.0}")
    study = distributed(floor)
    assert share_multiplier(study, privacy_of(study)) == 2.0
    low = distributed(DISTRIBUTED.replace("2.5}", "2.5, own_noise: 1.0}"))
    assert share_multiplier(low, privacy_of(low)) == pytest.approx(2.5 / math.sqrt(2))


def test_plan_prices_the_spare_draws_and_says_what_is_left_without_the_sum() -> None:
    study = distributed()
    plan = PrivacyPlan.of(study, privacy_of(study))
    assert plan.training.steps == 3 + 1  # one draw to spare
    assert plan.epsilon == epsilon(plan.training, 1e-3) <= 4
    alone = replace(plan.training, noise_multiplier=2.5 / math.sqrt(2))
    assert plan.fallback_epsilon == epsilon(alone, 1e-3) > plan.epsilon


@pytest.mark.parametrize(
    ("privacy", "training", "message"),
    [
        (DISTRIBUTED, ONE_STEP.replace("fedsgd", "fedavg"), "strategy fedsgd or fedadam"),
        (DISTRIBUTED, ONE_STEP.replace("local_steps: 1", "local_steps: 2"), "one step a round"),
        (PER_SITE, ONE_STEP, "fedsgd needs privacy.mode distributed"),
        (
            DISTRIBUTED.replace(", noise_multiplier: 2.5", ""),
            ONE_STEP,
            "noise_multiplier.*required",
        ),
    ],
)
def test_study_that_cannot_share_noise_is_refused(
    privacy: str, training: str, message: str
) -> None:
    with pytest.raises(StudyRefused, match=message):
        distributed(privacy, training)


def test_promise_that_the_declared_noise_does_not_keep_is_refused() -> None:
    study = distributed(DISTRIBUTED.replace("2.5}", "0.6}"))
    with pytest.raises(StudyRefused, match="more than the 4 promised") as refused:
        PrivacyPlan.of(study, privacy_of(study))
    enough = str(refused.value).rpartition("raise it to ")[2]
    mended = distributed(DISTRIBUTED.replace("2.5}", f"{enough}}}"))
    assert PrivacyPlan.of(mended, privacy_of(mended)).epsilon <= 4


def test_ring_and_bound_hold_the_largest_sum_with_room(tmp_path: Path) -> None:
    study = distributed()
    for dim in (10, 1000, 10**6):
        shares = NoiseShares.of(study, privacy_of(study), dim)
        noise = shares.multiplier * shares.units * math.sqrt(4 * dim)
        drawn = 4 * 40 * 0.5 * shares.units
        assert 1 <= shares.bound * 4 / (drawn + noise) <= 8


def test_run_with_shared_noise_trains_and_books_every_round(tmp_path: Path) -> None:
    federation = Federation(tmp_path, distributed())
    outcome = federation.run()
    assert len(federation.watch.rounds) == 4
    assert np.isfinite(outcome.model["weight"]).all()
    for silo in federation.silos.values():
        with silo._database.transaction() as guard:
            sent = [
                e for e in guard.entries() if e.state is State.SENT and e.round_kind == "training"
            ]
        assert len(sent) == 3
        assert {entry.rho for entry in sent} == {sent[0].rho}


def test_mean_gradient_is_scaled_by_what_was_declared() -> None:
    study = distributed()
    model = {"w": np.zeros(2, dtype=np.float32)}
    total: RingVector = np.array([3 * 2**17, 2**32 - 2**17], dtype=np.uint32)
    mean = mean_of(study, model, 0, ("east", "north", "south"), total)
    assert mean.update.tolist() == [3 / 60, -1 / 60]


def noises(study: Study, folder: Path) -> np.ndarray:
    """Returns what is in the sums when every gradient is zero, in units of the clip."""
    federation = Federation(folder, study)
    for silo in federation.silos.values():
        make = silo._make_trainer

        def silent(*given: object, make: object = make) -> object:
            trainer = make(*given)  # type: ignore[operator]
            size = trainer.initial_model()["weight"].size + 1
            trainer._gradients = lambda _model: np.zeros((trainer._train.num_patients, size))
            return trainer

        silo._make_trainer = silent  # type: ignore[assignment]
    seen: list[np.ndarray] = []
    runner = federation.runner

    def watched(*summaries: object) -> object:
        made = runner(*summaries)  # type: ignore[arg-type]
        play = made._round

        def kept(round_kind: str, *given: object) -> object:
            (done,) = found = play(round_kind, *given)  # type: ignore[arg-type]
            if round_kind == "training":
                seen.append(done.total.total.view(np.int32).astype(np.float64) / 2**17)
            return found

        made._round = kept  # type: ignore[method-assign, assignment]
        return made

    federation.runner = watched  # type: ignore[method-assign, assignment]
    federation.run()
    return np.concatenate(seen)


def test_noise_in_the_sum_is_what_theory_says(tmp_path: Path) -> None:
    rounds = ONE_STEP.replace("rounds: 3", "rounds: 12")
    study = distributed(DISTRIBUTED.replace("epsilon: 4", "epsilon: 11"), rounds)
    found = noises(study, tmp_path)
    expected = 2.5 / math.sqrt(2) * math.sqrt(4)  # four shares
    statistic = float((found**2).sum() / expected**2)
    assert chi2.ppf(1e-4, len(found)) < statistic < chi2.ppf(1 - 1e-4, len(found))


def test_another_attempt_among_the_same_sites_masks_the_same_noise(tmp_path: Path) -> None:
    federation = Federation(tmp_path, distributed())
    missed: list[str] = []

    def lost(site: str, request: Request) -> bool:
        first = request.step == "unmask" and site in ("east", "west") and site not in missed
        missed.extend([site] if first else [])
        return first

    federation.link.lost = lost
    federation.run()
    with federation.silos["north"]._database.transaction() as guard:
        sent = [e for e in guard.entries() if e.state is State.SENT and e.round_kind == "training"]
    assert (len({entry.content for entry in sent}), len(sent)) == (3, 4)
    assert [bool(entry.rho) for entry in sent] == [True, False, True, True]


def test_a_round_takes_no_more_than_the_spare_draws(tmp_path: Path) -> None:
    study = distributed(training=ONE_STEP.replace("rounds: 3", "rounds: 1"))
    federation = Federation(tmp_path, study)
    away = ("east", "west")
    federation.link.lost = lambda site, request: site in away and request.step == "unmask"
    with pytest.raises(QuorumLost):
        federation.run()
    with federation.silos["north"]._database.transaction() as guard:
        sent = [e for e in guard.entries() if e.state is State.SENT and e.round_kind == "training"]
    assert [bool(entry.rho) for entry in sent] == [True, False, True]  # one draw, one to spare
    assert len({entry.content for entry in sent}) == 2


def test_server_optimisers_follow_their_papers() -> None:
    study = distributed(training=ONE_STEP.replace("0.5}", "0.5, momentum: 0.9}"))
    sgd, adam = STRATEGIES["fedsgd"], STRATEGIES["fedadam"]
    first = state = ServerState(parameters=np.zeros(1, dtype=np.float32))
    for gradient, expected in ((1.0, -0.5), (1.0, -0.5 - 0.5 * 1.9)):
        mean = Mean(update=np.array([gradient]), scalars={}, bound=1.0)
        state = sgd.apply(study.training, state, mean)
        assert state.parameters[0] == pytest.approx(expected)
    keys = adam.keys.model_validate(study.training.model_dump() | {"strategy": "fedadam"})
    mean = Mean(update=np.ones(1), scalars={}, bound=1.0, is_gradient=True)
    state = adam.apply(keys, first, mean)
    assert state.parameters[0] == pytest.approx(-0.5 * 0.1 / (0.1 + 1e-3), rel=1e-5)
    assert sgd.remembers(study.training) and adam.remembers(study.training)


def test_both_institutions_derive_one_context() -> None:
    study = distributed()
    model = {"w": np.zeros(100, dtype=np.float32)}
    context = round_context(
        study, run_id="r", roster_digest="3" * 64, round_kind="training", number=0, attempt=0,
        draw=0, log_size=1, log_root="2" * 64, model=model,
    )  # fmt: skip
    assert (context.frac_bits, context.ring_bits) == (0, 32)
    assert float(context.bound) == NoiseShares.of(study, privacy_of(study), 100).bound


def test_hospital_with_more_patients_than_declared_refuses(tmp_path: Path) -> None:
    text = changed(PER_SITE, DISTRIBUTED).replace(STEPS, ONE_STEP)
    federation = Federation(tmp_path, read_study(text.replace("patients: 40", "patients: 9")))
    with pytest.raises(CohortRefused, match="site east: .* training patients, .* declares 9"):
        federation.join()
