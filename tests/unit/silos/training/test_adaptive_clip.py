"""A federation whose clip moves: to the median, in the open, and not where a coordinator likes."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from rich.console import Console

import coordinator.rounds.training as training_rounds
from collegium.redteam.attack import red_team
from collegium.redteam.findings import Target
from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.reports.run_tables import mechanism_table
from compliance.reports.sections.run import rounds_section
from coordinator.views.views import open_views
from pipelines.records import Records
from protocol.errors import QuorumLost, StoreBroken, StudyRefused
from protocol.study.rounds.mean import mean_of
from protocol.study.strategies.registry import changed as training_changed
from protocol.study.strategies.server_state import next_state
from protocol.study.strategies.strategy import Mean, ServerState
from protocol.study.strategies.training import Training
from protocol.study.study import Communication, Study
from protocol.study.study_file import read_study
from protocol.study.variants import as_distributed, as_per_site
from protocol.transport.steps import Request
from protocol.vectors.adaptive_clip import (
    CLIP,
    clip_of,
    felt_multiplier,
    log_clip_of,
    with_clip,
)
from protocol.vectors.fixed_point import encode
from protocol.vectors.tensors import decode_tensors, encode_tensors
from silos.training.randomness import FixedEntropy, RoundInput
from silos.training.steps.step_form import PatientRecords, StepForm
from silos.training.trainer import Trainer
from silos.training.worker import Worker
from tests.support.simulated.federation import Federation, MemoryLink
from tests.support.simulated.studies import changed, small_study

PER_SITE = "privacy: {mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}"
SHORT = "{rounds: 2, local_steps: 2, learning_rate: 0.5, micro_batch: 8}"
#: Servers with a memory, beside averaging with momentum and Adam.
OTHERS = ("fedyogi", "fedadagrad")
#: What the patients' gradients are long, in the middle.
MEDIAN = 0.05
#: Of the small study's network.
SIZE = 21


def adaptive(mode: str, rounds: int, rate: float = 1.0, clip: float = 1.0) -> Study:
    """A study of one step a round, with so little noise that what a clip does can be seen."""
    noise = "0.4" if mode == "distributed" else "0.8"
    strategy = "fedsgd" if mode == "distributed" else "fedavg"
    text = changed(
        PER_SITE,
        f"privacy: {{mode: {mode}, epsilon: 900, delta: 1e-3, clip: {clip}, sampling_rate: 1.0, "
        f"noise_multiplier: {noise}, adaptive_clip: {{rate: {rate}}}}}",
    )
    steps = f"{{strategy: {strategy}, rounds: {rounds}, local_steps: 1, learning_rate: 0.5}}"
    text = text.replace(SHORT, steps).replace("{bins: 8}", "{bins: 8, epsilon: 4}")
    return read_study(text.replace("colluders: 1}", "colluders: 1, keep_rounds: 50}"))


def of_known_lengths(
    features: torch.Tensor, _: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Gradients in one direction, of the length that a patient's first feature says."""
    lengths = MEDIAN * torch.exp(features[:, 0, 0]) * (weights[:, 0] > 0)
    return torch.full((len(features), SIZE), SIZE**-0.5) * lengths[:, None]


def trainer(study: Study, site: str, train: Records, test: Records) -> Trainer:
    """A hospital's own trainer, on gradients half of which are longer than ``MEDIAN``."""
    centred = train.features - np.median(train.features[:, 0])
    worker = Worker(study, StepForm.of(study, site), centred, train.labels, of_known_lengths)
    return Trainer(study, site, train, test, worker)


@pytest.mark.parametrize("mode", ["per_site", "distributed"])
@pytest.mark.parametrize("clip", [pytest.param(1.0, marks=pytest.mark.long), 0.002])
def test_the_clip_goes_to_the_median_and_every_round_is_computed_again(
    mode: str, clip: float, tmp_path: Path
) -> None:
    study = adaptive(mode, rounds=16, clip=clip)
    federation = Federation(tmp_path, study, fixed_noise=3, budget=2000.0, trainer=trainer)
    model = federation.run().model
    assert clip_of(model, clip) == pytest.approx(MEDIAN, rel=0.4)
    assert all(federation.recomputed(number).model for number in (1, 15))
    views = open_views(federation.workspace.root)
    dossier = views.dossier("run-1")
    views.close()
    clips = [round_.clip for round_ in dossier.rounds if round_.clip is not None]
    assert len(clips) == 16  # and none of the evaluation
    assert clips[0] == clip
    assert abs(math.log(clips[-1] / MEDIAN)) < abs(math.log(clip / MEDIAN)) / 4
    assert "Clip by round" in str(rounds_section(dossier).blocks)
    site = dossier.sites[0]
    assert site.privacy.noise_multiplier is not None
    felt = felt_multiplier(site.privacy.noise_multiplier, study.count_deviation)
    assert site.felt_multiplier == felt > site.privacy.noise_multiplier
    columns = [column.title for column in mechanism_table(dossier).columns]
    assert columns[-1] == "Noise multiplier that training feels"


def test_local_steps_move_the_clip_of_a_hospital_and_the_mean_of_all_comes_back() -> None:
    study = adaptive("per_site", rounds=2)
    training = study.training.model_copy(update={"local_steps": 3})
    study = study.replaced(training=training)
    generator = np.random.default_rng(0)
    records = Records(
        features=generator.normal(size=(30, 3)).astype(np.float32),
        labels=np.zeros(30, dtype=np.float32),
        patients=np.arange(30),
        patient_keys=tuple(map(str, range(30))),
        rows=np.arange(30),
    )
    own = trainer(study, "east", records, records)
    given = RoundInput(model=own.initial_model(), number=0, noise_multiplier=0.8)
    update = own.update(given, FixedEntropy(1, simulated=True)).update
    assert update.shape == (own._size + 1,)
    assert -1.5 < update[-1] < -0.6  # 30 of 40 declared, all of them within: 3/8 a step, less noise
    bare = RoundInput(model=own.initial_model(), number=0, noise_multiplier=None)
    assert own.update(bare, FixedEntropy(1, simulated=True)).update[-1] == 0


def test_no_hospital_can_move_the_clip_further_than_its_steps_can() -> None:
    study = adaptive("per_site", rounds=3, rate=0.4)
    model = with_clip({"w": np.zeros(2, dtype=np.float32)}, 0.1)
    sent = encode(np.array([0.0, 0.1, 9.0]), weight=1.0, bound=16.0, frac_bits=20)
    still = encode(np.array([0.0, 0.1, 0.0]), weight=1.0, bound=16.0, frac_bits=20)
    mean = mean_of(study, model, 0, ("east", "north", "south"), sent + still + still)
    assert mean.update == pytest.approx([0.0, 0.1, 0.2], abs=1e-5)


class Lying(MemoryLink):
    """Carries another clip to the hospitals from the second round on."""

    def exchange(self, requests, timeout):  # type: ignore[no-untyped-def]
        lies = {site: self._lie(request) for site, request in requests.items()}
        yield from super().exchange(lies, timeout)

    def _lie(self, request: Request) -> Request:
        if request.step != "advertise" or request.blob is None:
            return request
        model = decode_tensors(request.blob)
        moved = float(model[CLIP][0])
        return replace(request, blob=encode_tensors(with_clip(model, moved + 0.01 * (moved != 0))))


def test_a_clip_that_the_log_does_not_name_is_refused(tmp_path: Path) -> None:
    federation = Federation(
        tmp_path, adaptive("distributed", rounds=3), budget=2000.0, trainer=trainer
    )
    federation.link = Lying(federation.silos)
    with pytest.raises(QuorumLost, match="training round 2"):
        federation.run()
    reason = federation.silos["east"].reason("run-1")
    assert reason is not None
    assert "model_hash" in reason


@pytest.mark.parametrize(("lie", "found"), [(2.0, False), (0.01, True)])
def test_a_clip_that_no_rounds_lead_to_is_refused_and_any_other_is_found_by_an_audit(
    lie: float, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swapping(training: Training, state: ServerState, mean: Mean) -> ServerState:
        after = next_state(training, state, mean)
        parameters: NDArray[np.float32] = after.parameters.copy()
        parameters[-1] += lie
        return replace(after, parameters=parameters)

    federation = Federation(
        tmp_path, adaptive("distributed", rounds=2), budget=2000.0, trainer=trainer
    )
    monkeypatch.setattr(training_rounds, "next_state", swapping)
    if not found:
        with pytest.raises(QuorumLost, match="training round 2"):
            federation.run()
        reason = federation.silos["east"].reason("run-1")
        assert reason is not None
        assert "1 step from 1 at rate 1 cannot lead to" in reason
        return
    federation.run()
    with pytest.raises(StoreBroken, match="it was swapped"):
        federation.recomputed(0)


def test_a_study_with_a_fixed_clip_is_the_study_that_it_was() -> None:
    assert b"adaptive_clip" not in small_study().canonical_bytes
    study = adaptive("per_site", rounds=2)
    assert b'"adaptive_clip":{"rate":1}' in study.canonical_bytes
    for other in (as_distributed(study), as_per_site(as_distributed(study))):
        assert other.privacy.model_dump()["adaptive_clip"] == {"rate": 1.0}
    assert study.without_noise().privacy.clip == 1.0


def test_a_batch_too_small_to_be_counted_is_refused() -> None:
    text = changed(
        "sampling_rate: 1.0}", "sampling_rate: 0.13, adaptive_clip: {rate: 0.2}}"
    ).replace("epsilon: 4", "epsilon: 40")
    with pytest.raises(StudyRefused, match=r"study:24: .* 20\.8 patients .*; raise privacy.samp"):
        read_study(text)
    much = read_study(text.replace("0.13", "0.2").replace("epsilon: 40", "epsilon: 0.5"))
    with pytest.raises(StudyRefused, match=r"adaptive_clip: .* training would feel .* in place of"):
        PrivacyPlan.at(much, "east")


def test_a_plan_costs_the_same_with_an_adaptive_clip() -> None:
    study = adaptive("distributed", rounds=5)
    fixed = study.replaced(privacy=study.privacy.model_copy(update={"adaptive_clip": None}))
    assert PrivacyPlan.at(study, "east") == PrivacyPlan.at(fixed, "east")


def test_the_red_team_says_that_it_knows_fixed_clips_only(tmp_path: Path) -> None:
    target = Target.planned(adaptive("per_site", rounds=2))
    with pytest.raises(StudyRefused, match="attack a copy of the study without it"):
        red_team(target, {}, tmp_path, Console(quiet=True))


def test_parts_of_a_step_count_what_the_whole_step_does() -> None:
    study = adaptive("per_site", rounds=1)
    form = StepForm.of(study, "east")
    features = np.random.default_rng(2).normal(size=(40, 3)).astype(np.float32)
    worker = Worker(study, form, features, np.zeros(40, dtype=np.float32), of_known_lengths)
    starts = np.zeros(form.batches * form.places, dtype=np.uint64)
    drawn = PatientRecords(np.arange(40), form.records).drawn(np.arange(30), form, starts)
    whole = worker.clipped(np.zeros(SIZE), drawn, MEDIAN, 100)
    parts = [worker.clipped(np.zeros(SIZE), drawn.part(part, 2), MEDIAN, 100) for part in range(2)]
    assert np.array_equal(whole, parts[0] + parts[1])
    within = int((features[:30, 0] <= 0).sum())
    assert whole[-1] == 100 * (2 * within - 30)
    nobody = PatientRecords(np.arange(40), form.records).drawn(np.arange(0), form, starts)
    assert not worker.clipped(np.zeros(SIZE), nobody, MEDIAN, 100).any()


def test_a_late_update_is_carried_without_the_clip_s_movement(tmp_path: Path) -> None:
    """West's vector of the first round comes too late; the second begins with it."""
    study = adaptive("per_site", rounds=3)
    study = study.replaced(
        training=study.training.model_copy(update={"late_discount": 0.5}),
        communication=Communication(),
    )
    federation = Federation(tmp_path, study, trainer=trainer)
    masked = 0

    def late(site: str, request: Request) -> bool:
        nonlocal masked
        if site != "west" or request.step != "masked":
            return False
        masked += 1
        if masked == 1:
            federation.silos[site].answer(request)
        return masked == 1

    federation.link.lost = late
    federation.run()
    assert [len(survivors) for _, _, survivors in federation.watch.rounds] == [3, 4, 4, 4]


@pytest.mark.parametrize(
    "strategy", ["fedavgm", "fedadam", *(pytest.param(s, marks=pytest.mark.long) for s in OTHERS)]
)
def test_no_server_moves_the_clip_further_than_hospitals_let_it(
    strategy: str, tmp_path: Path
) -> None:
    """A server that took the clip for a parameter of the network would end the run."""
    study = adaptive("per_site", rounds=4, rate=0.1, clip=0.002)
    study = study.replaced(training=training_changed(study.training, strategy=strategy))
    federation = Federation(tmp_path, study, trainer=trainer)
    outcome = federation.run()
    assert [len(survivors) for _, _, survivors in federation.watch.rounds] == [4] * 5
    assert 0 < log_clip_of(outcome.model) <= 4 * 0.05


@pytest.mark.parametrize("strategy", ["fedavg", "fedavgm", *OTHERS, "fedadam", "fednova"])
def test_the_clip_moves_as_the_mean_says_in_every_strategy(strategy: str) -> None:
    training = training_changed(adaptive("per_site", rounds=2).training, strategy=strategy)
    state = ServerState(parameters=np.zeros(3, dtype=np.float32))
    for number in (1, 2):
        mean = Mean(update=np.array([1.0, -1.0, -0.25]), scalars={}, bound=9.0, moves_clip=True)
        state = next_state(training, state, mean)
        assert state.parameters[-1] == -0.25 * number and state.parameters[0] > 0
