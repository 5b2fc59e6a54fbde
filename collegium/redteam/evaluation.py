"""Attacks on the evaluation: the noise of counts and tables, and what one test patient changes."""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from collegium.redteam.adversary import Claim
from collegium.redteam.harness import MAX_RECORDS, AttackRandomness, MakeTrainer
from compliance.privacy.empirical_audit.checks import (
    AuditCheck,
    check_independence,
    check_influence,
    check_shape,
    check_variance,
    worst_of_each,
)
from pipelines.records import Records
from protocol.study.study import Study
from protocol.vectors.evaluation import COUNT_UNITS
from protocol.vectors.tensors import Tensors
from silos.training.counting.evaluation_counts import noised_counts
from silos.training.randomness import RoundInput

_PATIENTS = 40
_NUMBERS = 30_000  # of all hospitals together: a deviation that is 3 % off is seen
_MIN_DRAWS = 50

Ints = NDArray[np.int64]


def evaluation_checks(
    study: Study,
    claims: Mapping[str, Claim],
    make: MakeTrainer,
    randomness: AttackRandomness,
    attempt: int,
) -> Iterator[AuditCheck]:
    """Yields the checks of every hospital's evaluation, one for the worst hospital."""
    found: list[AuditCheck] = []
    for site, claim in claims.items():
        if claim.evaluation is None:
            continue
        sample = _EvaluationSample(study, site, make, randomness)
        noise = sample.noise(claim.evaluation, attempt, _NUMBERS // len(claims))
        found += [*_noise_checks(study, claim.evaluation, noise), sample.influence()]
    yield from worst_of_each(found)


def _noise_checks(study: Study, multiplier: float, noise: Ints) -> Iterator[AuditCheck]:
    """Holds (draws, numbers) of noise against what the plan promises."""
    vector = study.evaluation_vector
    size = vector.size
    counts, table = (
        deviation * COUNT_UNITS
        for deviation in vector.deviations(multiplier, study.evaluation.site_share)
    )
    yield check_variance(noise[:, :size], counts, name="noise of the evaluation's counts")
    yield check_variance(noise[:, size:], table, name="noise of the hospitals' own tables")
    yield _named(check_shape(noise[:, :size], counts), "shape of the evaluation's noise")
    alike = np.rint(noise / np.repeat([counts, table], [size, noise.shape[1] - size]) * counts)
    found = check_independence(alike.astype(np.int64), counts)
    yield _named(found, "independence of the evaluation's noise")


def _named(check: AuditCheck, name: str) -> AuditCheck:
    return AuditCheck(name=name, found=check.found, expected=check.expected, p_value=check.p_value)


class _Counted:
    """A trainer's counts, computed once."""

    def __init__(self, counts: tuple[Ints, Ints, Ints], dataset_digest: str) -> None:
        self._counts, self.dataset_digest = counts, dataset_digest

    def counts(self, model: Tensors, own: Tensors | None = None) -> tuple[Ints, Ints, Ints]:
        """Returns the counts; the model was given before."""
        return self._counts


class _EvaluationSample:
    """One hospital's evaluation of test patients that an auditor drew."""

    def __init__(
        self, study: Study, site: str, make: MakeTrainer, randomness: AttackRandomness
    ) -> None:
        self._study, self._site, self._make, self._randomness = study, site, make, randomness
        self._records = _drawn_records(study, randomness.random)
        trainer = make(study, site, self._records, self._records)
        self._model = trainer.initial_model()
        self._whole = trainer.counts(self._model)
        self._scorer = _Counted(self._whole, trainer.dataset_digest)

    def noise(self, multiplier: float, attempt: int, numbers: int) -> Ints:
        """Returns (draws, numbers) of noise: what is released, less the counts."""
        counts, table, _ = self._whole
        size = counts.size + table.size  # behind them lies the grid, which has no noise
        draws = max(_MIN_DRAWS, -(-numbers // size))
        given = np.stack([self._given(multiplier, at, attempt) for at in range(draws)])
        return (given - self._given(None, 0, attempt))[:, :size]

    def _given(self, multiplier: float | None, number: int, attempt: int) -> Ints:
        given = RoundInput(
            model=self._model, number=number, attempt=attempt, noise_multiplier=multiplier
        )
        return noised_counts(self._study, self._site, self._scorer, given, self._randomness.entropy)

    def influence(self) -> AuditCheck:
        """Takes one patient of each kind out: one cell of counts and of table may change by one."""
        moved = {}
        for patient, kind in ((0, f"{MAX_RECORDS} records where allowed"), (1, "one record")):
            less = _without(self._records, patient)
            trainer = self._make(self._study, self._site, less, less)
            changed = [
                float(np.abs(whole - part).sum()) / COUNT_UNITS
                for whole, part in zip(self._whole, trainer.counts(self._model), strict=True)
            ]
            moved[kind] = max(changed)
        found = check_influence(moved, self._study.evaluation_vector.influence)
        return _named(found, "one test patient's influence on counts and table")


def _drawn_records(study: Study, random: np.random.Generator) -> Records:
    """Returns test patients with drawn records; every third has several, where allowed."""
    cohort = study.cohort
    shape = cohort.record_form
    several = min(MAX_RECORDS, cohort.max_records_per_patient)
    counts = np.where(np.arange(_PATIENTS) % 3 == 0, several, 1)
    patients = np.repeat(np.arange(_PATIENTS, dtype=np.int64), counts)
    return Records(
        features=random.normal(size=(len(patients), *shape)).astype(np.float32),
        labels=(patients % 2).astype(np.float32),
        patients=patients,
        patient_keys=tuple(map(str, range(_PATIENTS))),
        rows=np.arange(len(patients), dtype=np.int64),
    )


def _without(records: Records, patient: int) -> Records:
    stay = records.patients != patient
    patients = records.patients[stay]
    return Records(
        features=records.features[stay],
        labels=records.labels[stay],
        patients=np.where(patients > patient, patients - 1, patients),
        patient_keys=tuple(k for at, k in enumerate(records.patient_keys) if at != patient),
        rows=np.arange(int(stay.sum()), dtype=np.int64),
    )
