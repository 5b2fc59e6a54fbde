"""Trains one hospital's model: DP-SGD with the patient as the unit, and exact noise.

One step (``privacy.md`` C.1, C.2, C.5; rulings 2, 11, 22):

1. Poisson-sample patients with a cryptographic generator.
2. For each patient, the mean of its records' gradients, clipped once to C and
   truncated to integers whose norm is at most ``units`` exactly.
3. Sum the integers; add exact discrete Gaussian noise of z x units.
4. Divide by the *expected* batch, a public constant, and step.

An empty batch is a step like any other: it is noised and applied. The sum is
an integer sum and micro-batches are fixed by the study, so the result does not
depend on who computed which part, or in what order: see ``worker`` and ``crew``.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from compliance.noise import DiscreteGaussian, poisson_sample
from pipelines.cohort import Records
from pipelines.metrics import histogram, two_by_two
from pipelines.networks import build, load_parameters, parameters_of
from pipelines.steady import steady_scores
from protocol.encoding import digest, digest_json
from protocol.keystream import Keystream
from protocol.noise_shares import units_for
from protocol.privacy import PatientPrivacy
from protocol.study import Study
from protocol.tensors import Tensors, flatten, model_digest
from silos.entropy import Entropy, Moment
from silos.worker import Crew, MicroBatch, Worker


class Trainer:
    """Holds one hospital's records for one study, and its network."""

    def __init__(
        self, study: Study, site: str, train: Records, test: Records, crew: Crew | None = None
    ) -> None:
        self._study = study
        self._privacy = study.privacy_of(site)
        self._site = site
        self._train = train
        self._test = test
        self._records_of = _records_by_patient(train)
        self._module = build(study.task, study.cohort, study.seeds.model)
        self._initial = parameters_of(self._module)
        self._crew = crew or Worker(study, train.features, train.labels)
        self.engine = self._crew.engine
        self.dataset_digest = digest_json([train.digest, test.digest])

    @property
    def num_train_patients(self) -> int:
        """How many patients may be sampled."""
        return self._train.num_patients

    @property
    def num_test_patients(self) -> int:
        """How many patients the evaluation counts."""
        return self._test.num_patients

    def initial_model(self) -> Tensors:
        """Returns the parameters that the study's seed gives."""
        return dict(self._initial)

    def update(
        self,
        model: Tensors,
        number: int,
        attempt: int,
        noise_multiplier: float | None,
        entropy: Entropy,
    ) -> NDArray[np.float64]:
        """Returns how this hospital would change the model: (size,) parameters after - before.

        Args:
            model: the round's global model.
            number, attempt: the round that all randomness belongs to.
            noise_multiplier: z; None trains without privacy.
            entropy: where sampling and noise come from.

        Guarantee: with z, the returned vector is a function of local_steps
        sampled Gaussian mechanisms with multiplier z and of public values only.
        """
        training = self._study.training
        start = flatten(model).astype(np.float64)
        parameters, velocity = start.copy(), np.zeros_like(start)
        moment = self._moment(model, number, attempt)
        for step in range(training.local_steps):
            gradient = self._step(parameters, replace(moment, step=step), noise_multiplier, entropy)
            velocity = training.momentum * velocity + gradient
            parameters -= training.learning_rate * velocity
        return parameters - start

    def _step(
        self,
        parameters: NDArray[np.float64],
        moment: Moment,
        noise_multiplier: float | None,
        entropy: Entropy,
    ) -> NDArray[np.float64]:
        privacy = self._privacy
        expected = self._study.expected_batch(self._site)
        if noise_multiplier is None or not isinstance(privacy, PatientPrivacy):
            _, batches = self._sampled(moment, entropy)
            total = np.zeros(parameters.size)
            for summed in self._crew.plain(parameters, batches):
                total += summed
            return np.asarray(total / expected)
        noised = self._noised(parameters, moment, noise_multiplier, entropy)
        return np.asarray(noised * (privacy.clip / units_for(parameters.size) / expected))

    def noised_sum(
        self,
        model: Tensors,
        number: int,
        attempt: int,
        share_multiplier: float,
        entropy: Entropy,
    ) -> NDArray[np.int64]:
        """Returns the (size,) sum of one step's clipped gradients and this hospital's noise share.

        In units of the clipping bound (``protocol.noise_shares``). The share
        alone is no protection that anything else than the secure sum may see.
        """
        moment = self._moment(model, number, attempt)
        return self._noised(flatten(model).astype(np.float64), moment, share_multiplier, entropy)

    def _moment(self, model: Tensors, number: int, attempt: int) -> Moment:
        return Moment(
            use="", study=self._study.digest, site=self._site, purpose="training", round=number,
            attempt=attempt, step=0, dataset=self.dataset_digest, model=model_digest(model),
            sample="",
        )  # fmt: skip

    def _noised(
        self,
        parameters: NDArray[np.float64],
        moment: Moment,
        noise_multiplier: float,
        entropy: Entropy,
    ) -> NDArray[np.int64]:
        """Returns the integer sum of the drawn patients' clipped gradients, with exact noise."""
        privacy, size = self._privacy, parameters.size
        if not isinstance(privacy, PatientPrivacy):
            raise ValueError("a study without privacy has no clipping bound")
        chosen, batches = self._sampled(moment, entropy)
        summed = self._crew.clipped(parameters, batches, privacy.clip)
        noise = DiscreteGaussian(noise_multiplier * units_for(size))
        drawn = replace(moment, use="noise", sample=digest(chosen.tobytes()))
        return summed + noise.sample(entropy.stream(drawn), size)

    def _sampled(
        self, moment: Moment, entropy: Entropy
    ) -> tuple[NDArray[np.int64], list[MicroBatch]]:
        """Returns which patients were drawn, and their records by micro-batches.

        Patients with equally many records share micro-batches, which a worker
        always fills: empty places hold zeros. So every call has the same form
        whoever was sampled, and a patient's gradient is a function of that
        patient alone, bit for bit (see ``pipelines.steady``).
        """
        sampling = entropy.stream(replace(moment, use="sample"))
        chosen = np.flatnonzero(
            poisson_sample(sampling, self._privacy.sampling_rate, self._train.num_patients)
        )
        size = self._study.training.micro_batch
        most = self._study.cohort.max_records_per_patient
        by_count: dict[int, list[NDArray[np.int64]]] = {}
        for patient in chosen:
            own = _at_most(self._records_of[patient], most, sampling)
            by_count.setdefault(len(own), []).append(own)
        return chosen, [
            patients[begin : begin + size]
            for _, patients in sorted(by_count.items())
            for begin in range(0, len(patients), size)
        ]

    def counts(self, model: Tensors) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns (2, bins) score counts and the (2, 2) decision table of the test patients.

        Guarantee: one patient changes one cell of each by one (a patient with
        several records counts once, with its mean logit and its highest label).
        """
        evaluation = self._study.evaluation
        logits, labels = self.patient_scores(model)
        counted = histogram(logits, labels, evaluation.bins, evaluation.logit_range)
        return counted, two_by_two(logits, labels)

    def patient_scores(self, model: Tensors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns each test patient's mean logit and highest label; they stay in the hospital."""
        load_parameters(self._module, model)
        logits = steady_scores(self._module, self._test.features).astype(np.float64)
        patients, count = self._test.patients, self._test.num_patients
        means: NDArray[np.float64] = np.bincount(
            patients, weights=logits, minlength=count
        ) / np.bincount(patients, minlength=count)
        labels = np.zeros(count)
        np.maximum.at(labels, patients, self._test.labels)
        return means, labels


def _records_by_patient(records: Records) -> list[NDArray[np.int64]]:
    order = np.argsort(records.patients, kind="stable")
    edges = np.searchsorted(records.patients[order], np.arange(1, records.num_patients))
    return np.split(order, edges)


def _at_most(own: NDArray[np.int64], most: int, sampling: Keystream) -> NDArray[np.int64]:
    """Returns the patient's records, or a fresh random choice of ``most`` of them."""
    if len(own) <= most:
        return own
    ranks = sampling.words(len(own), np.uint64)
    return own[np.sort(np.argsort(ranks, kind="stable")[:most])]
