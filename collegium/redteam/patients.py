"""Attacks on what becomes of one patient: how often it is drawn, and how far it moves the sum."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from collegium.redteam.adversary import hospital_at
from collegium.redteam.harness import (
    MAX_RECORDS,
    AttackRandomness,
    Floats,
    MakeTrainer,
    canary_trainer,
    declaring,
    patient_privacy,
    sampled_at,
    varied,
    with_independent_noise,
)
from compliance.privacy.empirical_audit.checks import (
    CHECK_LEVEL,
    AuditCheck,
    check_inclusion,
    check_influence,
    check_repeats,
    worst_of_each,
)
from pipelines.attacks.canaries import TOO_LONG, ChosenGradients
from protocol.study.rounds.noise_shares import units_for
from protocol.study.study import Study
from protocol.vectors.tensors import layout_of
from silos.training.randomness import RoundInput
from silos.training.steps.step_form import Drawn
from silos.training.worker import GradientBackend

_MIN_PATIENTS, _MAX_PATIENTS = 64, 20_000
_BATCH = 16  # patients a batch on average, at least
_MIN_STEPS, _MAX_STEPS = 12, 400
#: So little noise that all of it is zero: what is released is the sum itself.
_NO_NOISE = 1e-9
_OTHERS = 5


def patient_checks(
    study: Study,
    sites: Sequence[str],
    make: MakeTrainer,
    randomness: AttackRandomness,
    attempt: int,
) -> Iterator[AuditCheck]:
    """Yields the checks of every hospital's sampling and clipping, one for the worst hospital."""
    found: list[AuditCheck] = []
    for site in sites:
        found += _sampling(study, site, make, randomness, attempt)
        found.append(_influence(study, site, make, randomness, attempt))
    yield from worst_of_each(found)


class _Register:
    """Stands where the gradients are computed, and writes down who was drawn in each step.

    It returns zeros, so that a step costs nothing whatever the network.
    """

    engine = label = "given"

    def __init__(self, patients: NDArray[np.int64], size: int) -> None:
        self._patients, self._size = patients, size
        self.steps: list[NDArray[np.int64]] = []

    def clipped(
        self, parameters: Floats, drawn: Drawn, clip: float, count: int = 0
    ) -> NDArray[np.int64]:
        """Counts the patients of one step; returns an empty sum."""
        first_records = drawn.records[..., 0][drawn.weights[..., 0] > 0]
        self.steps.append(np.bincount(self._patients[first_records], minlength=self._size))
        return np.zeros(parameters.size, dtype=np.int64)

    def plain(self, parameters: Floats, drawn: Drawn) -> Iterator[Floats]:
        """Refuses: a study without privacy is not attacked."""
        raise NotImplementedError


def _sampling(
    study: Study, site: str, make: MakeTrainer, randomness: AttackRandomness, attempt: int
) -> Iterator[AuditCheck]:
    rate, bands = patient_privacy(study, site).priced_rate, study.privacy.bands
    if rate == 1 and bands == 1:
        return  # the batch sizes show already that everybody is in
    count = int(min(_MAX_PATIENTS, max(_MIN_PATIENTS, np.ceil(_BATCH / rate))))
    seen: list[_Register] = []

    def watched(study: Study, site: str, train, test, backend: GradientBackend | None = None):  # type: ignore[no-untyped-def]
        seen.append(_Register(train.patients, train.num_patients))
        return make(study, site, train, test, seen[-1])

    numbers = np.arange(count)
    none = ChosenGradients(lambda asked: np.zeros((len(asked), 1), dtype=np.float32))
    own = declaring(varied(study, momentum=0.0, learning_rate=1.0), site, count)
    trainer, model = canary_trainer(own, site, numbers, watched, none)
    hospital = hospital_at(own, site, trainer, randomness.entropy)
    steps = _MIN_STEPS if rate == 1 else _steps_for(rate, count)
    for number in range(-(-bands * steps // study.training.local_steps)):
        hospital.released(
            RoundInput(model=model, number=number, attempt=attempt, noise_multiplier=_NO_NOISE)
        )
    drawn = np.stack(seen[0].steps)
    drawn = drawn.reshape(-1, bands, drawn.shape[1]).sum(axis=1)  # of a cycle, where there are any
    yield check_inclusion(drawn, rate)
    if rate < 1:
        yield check_repeats(drawn, rate)


def _steps_for(rate: float, patients: int) -> int:
    """Returns after how many steps a patient that is always drawn must be seen."""
    enough = np.log(CHECK_LEVEL / patients / 100) / np.log(rate)
    return int(min(_MAX_STEPS, max(_MIN_STEPS, np.ceil(enough))))


def _influence(
    study: Study, site: str, make: MakeTrainer, randomness: AttackRandomness, attempt: int
) -> AuditCheck:
    """Takes one patient of many kinds in and out, among others who stay."""
    alone = sampled_at(with_independent_noise(study), 1.0)
    plain = varied(alone, local_steps=1, momentum=0.0, learning_rate=1.0)
    plain = declaring(plain, site, _OTHERS + 1)
    clip = patient_privacy(study, site).clip
    rows: dict[int, NDArray[np.float32]] = {}
    chosen = ChosenGradients(lambda asked: np.stack([rows[int(number)] for number in asked]))
    trainer, model = canary_trainer(plain, site, np.arange(_OTHERS + 1), make, chosen)
    hospital = hospital_at(plain, site, trainer, randomness.entropy)
    size = layout_of(model).size
    draw = randomness.random

    def released(number: int) -> Floats:
        found = hospital.released(
            RoundInput(model=model, number=number, attempt=attempt, noise_multiplier=_NO_NOISE)
        )
        return np.rint(found) if np.abs(found - np.rint(found)).max() < 1e-3 else found

    for other in range(1, _OTHERS + 1):
        rows[other] = _dense(size, clip * 10.0 ** (other - 3), draw)
    moved: dict[str, float] = {}
    for number, (kind, row) in enumerate(_kinds(size, clip, draw)):
        rows[0] = np.zeros(size, dtype=np.float32)
        without = released(2 * number)
        rows[0] = row
        moved[kind] = float(np.linalg.norm(released(2 * number + 1) - without))
    return check_influence(moved, float(units_for(size)))


def _kinds(
    size: int, clip: float, draw: np.random.Generator
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yields patients (with several records, where the study allows them) that clipping is for."""
    several = f"{MAX_RECORDS} records where allowed"
    one = np.zeros(size, dtype=np.float32)
    one[int(draw.integers(size))] = TOO_LONG * clip
    yield f"{TOO_LONG:g} times the clip in one coordinate, {several}", one
    yield f"{TOO_LONG:g} times the clip in all coordinates", _dense(size, TOO_LONG * clip, draw)
    yield "a little longer than the clip", _dense(size, 1.001 * clip, draw)
    yield "as long as the clip", _dense(size, clip, draw)
    yield "10^30 times the clip", _dense(size, 1e30 * min(1.0, clip), draw)
    broken = _dense(size, clip, draw)
    broken[0] = np.nan
    yield "not a number", broken
    broken = _dense(size, clip, draw)
    broken[-1] = np.inf
    yield "infinite", broken


def _dense(size: int, length: float, draw: np.random.Generator) -> NDArray[np.float32]:
    """Returns a vector of this length in a random direction."""
    row = draw.normal(size=size)
    return np.asarray(row * (length / np.linalg.norm(row)), dtype=np.float32)
