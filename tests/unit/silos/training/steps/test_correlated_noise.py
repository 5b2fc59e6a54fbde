"""Correlated noise at a hospital: who is drawn, what is added, what is paid, what is refused."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.privacy.accounting import calibrate, epsilon
from compliance.privacy.events import SampledGaussian
from compliance.privacy.promised_noise import training_event
from compliance.reports.run_tables import mechanism_table
from coordinator.views.views import open_views
from pipelines.records import Records
from protocol.errors import StudyRefused
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.study.variants import as_distributed
from silos.training.randomness import FixedEntropy, RoundInput, SecretEntropy
from silos.training.steps.cycles import cycle_matrix
from silos.training.steps.step_form import Drawn
from silos.training.trainer import Trainer
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import TABLE_STUDY, changed

PER_SITE = "{mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}"
SHORT = "{rounds: 2, local_steps: 2, learning_rate: 0.5, micro_batch: 8}"
SIZE = 21  # of the small study's network


def study(
    bands: int | None = 4, *, rate: float = 0.25, steps: int = 8, strategy: str = "fedavg",
    privacy: str = "", training: str = "",
) -> Study:  # fmt: skip
    noise = "" if bands is None else f", correlated_noise: {{bands: {bands}}}"
    promised = PER_SITE.replace("sampling_rate: 1.0", f"sampling_rate: {rate}{noise}{privacy}")
    return read_study(
        changed(PER_SITE, promised).replace(
            SHORT,
            f"{{strategy: {strategy}, rounds: 2, local_steps: {steps}, learning_rate: 0.5, "
            f"micro_batch: 8{training}}}",
        )
    )


def records(patients: int = 40) -> Records:
    generator = np.random.default_rng(0)
    return Records(
        features=generator.normal(size=(patients, 3)).astype(np.float32),
        labels=(np.arange(patients) % 2).astype(np.float32),
        patients=np.arange(patients),
        patient_keys=tuple(map(str, range(patients))),
        rows=np.arange(patients),
    )


class Recorder:
    """A backend that returns given sums, and writes down who was drawn and where steps began."""

    engine = label = "given"

    def __init__(self, size: int, bound: int = 0) -> None:
        self.size, self.bound = size, bound
        self.drawn: list[NDArray[np.int64]] = []
        self.at: list[NDArray[np.float64]] = []
        self.forms: set[tuple[int, ...]] = set()

    def clipped(
        self, parameters: NDArray[np.float64], drawn: Drawn, clip: float, count_units: int = 0
    ) -> NDArray[np.int64]:
        self.drawn.append(np.sort(drawn.records[..., 0][drawn.weights[..., 0] > 0]))
        self.forms.add(drawn.records.shape)
        self.at.append(parameters.copy())
        return np.full(self.size, self.bound, dtype=np.int64)

    def plain(self, parameters: NDArray[np.float64], drawn: Drawn):  # type: ignore[no-untyped-def]
        raise NotImplementedError


def hospital(of: Study, bound: int = 0) -> tuple[Trainer, Recorder]:
    backend = Recorder(SIZE, bound)
    return Trainer(of, "east", records(), records(), backend), backend


def given(trainer: Trainer, number: int = 0, attempt: int = 0) -> RoundInput:
    model = trainer.initial_model()
    return RoundInput(model=model, number=number, attempt=attempt, noise_multiplier=2.0)


def test_a_patient_is_in_one_step_of_a_cycle_and_in_each_cycle_anew() -> None:
    of = study(4, rate=0.25, steps=8)
    trainer, backend = hospital(of)
    trainer.update(given(trainer), SecretEntropy())
    first, second = (np.concatenate(backend.drawn[at : at + 4]) for at in (0, 4))
    assert sorted(first) == sorted(second) == list(range(40))  # rate 4 x 0.25: everybody, once
    assert any((one != two).any() if one.size == two.size else True
               for one, two in zip(backend.drawn[:4], backend.drawn[4:], strict=True))  # fmt: skip
    assert len(backend.forms) == 1  # the same work in every step


def test_a_step_draws_patients_at_the_rate_of_the_study() -> None:
    of = study(4, rate=0.1, steps=400)
    trainer, backend = hospital(of)
    trainer.update(given(trainer), SecretEntropy())
    sizes = np.array([len(drawn) for drawn in backend.drawn])
    assert sizes.mean() == pytest.approx(4.0, abs=5 * np.sqrt(40 * 0.1 * 0.9 / 400))
    for at in range(0, 400, 4):
        cycle = np.concatenate(backend.drawn[at : at + 4])
        assert len(cycle) == len(set(cycle))


def noise_of(of: Study, backend: Recorder, update: NDArray[np.float64]) -> NDArray[np.float64]:
    """The (steps, size) sums that a round's steps were taken by, in units."""
    ends = [*backend.at[1:], backend.at[0] + update]
    unit = 1.0 / 2**17 / of.expected_batch("east")
    moves = np.diff(np.stack([backend.at[0], *ends]), axis=0)
    return np.asarray(-moves / of.training.learning_rate / unit)


def test_what_is_added_is_the_matrix_mechanism_on_whole_numbers() -> None:
    """Multiplied by C again, the steps are whole multiples of its unit: sums with exact noise."""
    of = study(4, steps=400)
    trainer, backend = hospital(of, bound=1000)
    noise = noise_of(of, backend, trainer.update(given(trainer), SecretEntropy()).update)
    matrix = cycle_matrix(of, SIZE, 2.0)
    cycles = noise.reshape(100, 4, SIZE)
    released = np.einsum("ts,csd->ctd", matrix.dense, cycles) * matrix.scale
    assert np.abs(released - np.rint(released)).max() < 0.01
    drawn = released / matrix.scale - (matrix.dense @ np.full((4, SIZE), 1000.0))
    sigma = 2.0 * 2**17
    # Noise is drawn anew each time: six deviations of what is estimated.
    assert drawn.std() / sigma == pytest.approx(1, abs=6 / np.sqrt(2 * drawn.size))
    flat = drawn.transpose(1, 0, 2).reshape(4, -1) / sigma
    likeness = flat @ flat.T / flat.shape[1]
    assert np.abs(likeness - np.eye(4)).max() < 6 * np.sqrt(2 / flat.shape[1])


def test_later_noise_takes_back_earlier_noise() -> None:
    ends = {}
    for bands in (None, 4):
        of = study(bands, steps=400)
        trainer, backend = hospital(of)
        noise = noise_of(of, backend, trainer.update(given(trainer), SecretEntropy()).update)
        ends[bands] = noise.reshape(100, 4, SIZE).sum(axis=1).std()
    assert ends[4] < 0.75 * ends[None]


def test_nothing_is_kept_from_a_round_or_a_repeated_draw_to_the_next() -> None:
    """So a restart loses nothing, and no noise meets two gradients."""
    of, entropy = study(4), FixedEntropy(1, simulated=True)
    one, _ = hospital(of)
    first = one.update(given(one), entropy).update
    later = one.update(given(one, number=1), entropy).update
    restarted, _ = hospital(of)
    assert (restarted.update(given(restarted, number=1), entropy).update == later).all()
    again = one.update(given(one, attempt=1), entropy).update
    assert not np.intersect1d(first, again).size
    secret = SecretEntropy()
    drawn = [one.update(given(one), secret).update for _ in range(2)]
    assert not np.intersect1d(*drawn).size


def test_the_price_is_one_release_of_the_larger_sample_for_each_cycle() -> None:
    of = study(4, rate=0.25, steps=8)
    plan = PrivacyPlan.at(of, "east")
    assert plan is not None
    cycles = (2 + of.aggregation.spare_draws) * 2
    noise = calibrate(epsilon=4, delta=1e-3, sampling_rate=1.0, steps=cycles)
    assert plan.training == SampledGaussian(noise_multiplier=noise, sampling_rate=1.0, steps=cycles)
    assert plan.epsilon == epsilon(plan.training, 1e-3) <= 4
    sampled = study(4, rate=0.1, steps=8, privacy=", noise_multiplier: 3")
    assert isinstance(sampled.privacy, PatientPrivacy)
    event = training_event(sampled, sampled.privacy)
    assert event == SampledGaussian(noise_multiplier=3, sampling_rate=0.4, steps=cycles)


def test_a_study_without_it_is_the_study_that_it_was() -> None:
    assert "correlated_noise" not in study(None).canonical_bytes.decode()
    assert read_study(TABLE_STUDY).privacy.bands == 1


def test_the_ledger_books_a_rounds_cycles_and_settles_what_was_not_sent(tmp_path: Path) -> None:
    of = study(4, rate=0.25, steps=8)
    federation = Federation(tmp_path, of, trainer=Trainer)
    federation.run()
    east = federation.silos["east"]
    with east._database.transaction() as chain:
        sent = [one for one in chain.entries() if one.state.value == "SENT"]
        plans = [one for one in chain.entries() if one.state.value == "RESERVED"]
    training = [one for one in sent if one.round_kind == "training"]
    assert len(training) == of.training.rounds
    (planned,) = [one for one in plans if one.round_kind == "training"]
    cycles = of.training.rounds + of.aggregation.spare_draws
    for one in training:
        assert '"sampling_rate":"1.0"' in one.event_json and '"steps":"2"' in one.event_json
        assert one.rho.upper * cycles == planned.rho.upper  # two cycles of each round
    views = open_views(federation.workspace.root)
    dossier = views.dossier("run-1")
    views.close()
    assert "correlated in cycles of 4 steps (banded matrix" in dossier.claim
    titles = [column.title for column in mechanism_table(dossier).columns]
    assert {"Sampling rate of a cycle of 4 steps", "Cycles priced"} < set(titles)
    (east_facts, *_) = dossier.sites
    assert (east_facts.privacy.sampling_rate, east_facts.privacy.priced_steps) == (1.0, 2 * cycles)
    east.leave("run-1")
    left = east._ledger.summary().of("training")
    assert left.reserved == 0 and left.spent > 0
    federation.close()


@pytest.mark.parametrize(
    ("bad", "path", "problem"),
    [
        (dict(bands=3), "privacy.correlated_noise.bands", "a round of 8 steps has no whole cycles"),
        (dict(rate=0.3), "privacy.correlated_noise.bands", "1/4 = 0.25 at most, and 0.3 at east"),
        (dict(bands=1), "privacy.correlated_noise.bands", "greater than or equal to 2"),
        (dict(privacy=", adaptive_clip: {}"), "privacy.correlated_noise", "at another"),
        (dict(strategy="ditto"), "privacy.correlated_noise", "ditto moves more than one model"),
        (dict(strategy="interpolation"), "privacy.correlated_noise", "more than one model"),
        (dict(strategy="perfedavg"), "privacy.correlated_noise", "more than one model"),
        (dict(strategy="fedrep", training=", own_layers: [hidden_0]"), "privacy.correlated_noise",
         "other layers"),
    ],
)  # fmt: skip
def test_it_is_refused_where_it_would_be_wrong(
    bad: dict[str, object], path: str, problem: str
) -> None:
    with pytest.raises(StudyRefused) as refused:
        study(**bad)  # type: ignore[arg-type]
    assert path in str(refused.value) and problem in str(refused.value)


@pytest.mark.parametrize("strategy", ["fedavg", "fedavgm", "fedprox", "scaffold", "fednova",
                                      "fedadam", "mrmtl", "finetuning"])  # fmt: skip
def test_a_strategy_whose_steps_move_one_model_may_have_it(strategy: str) -> None:
    assert study(strategy=strategy).privacy.bands == 4


def test_shares_of_noise_are_not_correlated() -> None:
    of = study(4)
    assert as_distributed(of).privacy.correlated_noise is None
    shared = as_distributed(study(None, steps=1)).model_dump()
    shared["privacy"] |= {"correlated_noise": {"bands": 2}}
    with pytest.raises(ValidationError, match="shares that nobody knows together"):
        Study.model_validate(shared)


def test_a_hospital_with_fewer_steps_takes_whole_cycles_too() -> None:
    of = study(4, strategy="fednova")
    sites = (replace_steps(of.sites[0], 4), *of.sites[1:])
    assert of.replaced(sites=sites).local_steps_of("east") == 4
    with pytest.raises(ValidationError, match="east takes 6 local steps a round: no whole"):
        of.replaced(sites=(replace_steps(of.sites[0], 6), *of.sites[1:]))


def replace_steps(site, steps: int):  # type: ignore[no-untyped-def]
    return site.model_copy(update={"local_steps": steps})


def test_too_much_noise_for_a_matrix_is_refused_before_anything_is_reserved() -> None:
    of = study(4, steps=400, privacy=", noise_multiplier: 200")
    with pytest.raises(StudyRefused, match=r"privacy.correlated_noise: .* independent noise"):
        PrivacyPlan.at(of, "east")


def test_another_multiplier_only_makes_the_numbers_of_a_matrix_coarser() -> None:
    of = study(4)
    fine, coarse = cycle_matrix(of, SIZE, 2.0), cycle_matrix(of, 2 * 10**6, 128.0)
    assert (fine.scale, coarse.scale) == (64, 8)
    assert np.abs(fine.dense - coarse.dense).max() <= 1 / 8
