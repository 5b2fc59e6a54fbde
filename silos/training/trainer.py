"""Trains one hospital's model: DP-SGD with the patient as the unit, and exact noise.

One step:

1. Poisson-sample patients with a cryptographic generator.
2. For each patient, the mean of its records' gradients, clipped once to C and
   truncated to integers whose norm is at most ``units`` exactly.
3. Sum the integers; add exact discrete Gaussian noise of z x units.
4. Divide by the batch that the declared patients lead one to expect, and step.

With correlated noise steps form cycles, in which the noise of a step takes back a part of the
noise before it, and a patient is in one step at most: see ``cycles``.

An empty batch is a step like any other: it is noised and applied. The work of a
step is the same for any draw: see ``step_form``. The sum is an integer sum and
micro-batches follow from the study, so the result does not depend on who
computed which part, or in what order: see ``worker`` and ``worker_pool``.

Source: Abadi et al. 2016 (1607.00133), algorithm 1; McMahan et al. 2018 (1710.06963)
for the fixed denominator.
"""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from compliance.privacy.events import SampledGaussian
from compliance.privacy.noise import DiscreteGaussian, poisson_sample
from pipelines.cohort.loading import Records
from pipelines.gradients.device import enough_memory, processor
from pipelines.gradients.engines import ENGINES
from pipelines.networks.networks import (
    build,
    parameters_of,
    require_own_layers,
)
from pipelines.recipes.loading import recipe_failures
from pipelines.tasks.registry import task_of
from protocol.encoding import digest, digest_json
from protocol.study.privacy import NoPrivacy, PatientPrivacy
from protocol.study.rounds.noise_shares import count_units_of, units_of
from protocol.study.rounds.round_vector import RoundVector, round_vector
from protocol.study.strategies.local_steps import UNSENT, LocalEnd, LocalStart, OwnState
from protocol.study.strategies.registry import local_end, strategy_of
from protocol.study.strategies.sent_slots import slots_of, with_slots, without_slots
from protocol.study.study import Study
from protocol.vectors.adaptive_clip import clip_at, counted_mean, moves_within, with_clip
from protocol.vectors.tensors import Tensors, flatten, layout_of, model_digest
from silos.training.counting.model_scorer import ModelScorer
from silos.training.randomness import DrawContext, Entropy, RoundInput
from silos.training.second_opinion import EPSILON_ERROR
from silos.training.steps.cycles import Cycles
from silos.training.steps.step_form import Drawn, PatientRecords, StepForm
from silos.training.worker import GradientBackend, Worker

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Trainer:
    """Holds one hospital's records for one study, and its network.

    Args:
        study: the study.
        site: the hospital.
        train, test: its parts of the records, by the study's split.
        backend: computes the gradients; one worker in this process when None.
        device: where the model is evaluated; the processor when None.

    Raises:
        StudyRefused: no engine computes this network's gradients rightly.
        DeviceRefused: the device's memory does not hold a step, or the evaluation.
    """

    def __init__(
        self,
        study: Study,
        site: str,
        train: Records,
        test: Records,
        backend: GradientBackend | None = None,
        device: torch.device | None = None,
    ) -> None:
        self._study = study
        self._privacy = study.privacy_of(site)
        self._adaptive = self._privacy.adaptive_clip
        self._site = site
        self._train = train
        self._test = test
        self._form = StepForm.of(study, site)
        self._records = PatientRecords(train.patients, study.records_per_patient)
        self._drawable = np.ones(train.num_patients, dtype=bool)
        self._device = device or processor()
        with enough_memory("the network"):
            self._module = build(study.task, study.cohort, study.seeds.model)
            require_own_layers(self._module, study.training.kept_layers)
            initial = parameters_of(self._module)
            self._layout = layout_of(initial)
            self._size = self._layout.size
            self._initial = with_slots(
                self._layout,
                with_clip(initial) if self._adaptive else initial,
                {},
                strategy_of(study.training).sends if study.training.rounds else (),
            )
            self._module.to(self._device)
        self._backend = backend or Worker(
            study, self._form, train.features, train.labels, device=self._device
        )
        self._learned = task_of(study.task, study.cohort)
        self._scorer = ModelScorer(study, site, test, self._module)
        self.engine = self._backend.label
        self.dataset_digest = digest_json(self._scorer.digests(train.digest, test.digest))

    @property
    def num_train_patients(self) -> int:
        """The number of patients that may be sampled."""
        return self._train.num_patients

    @property
    def num_test_patients(self) -> int:
        """The number of patients that the evaluation counts."""
        return self._test.num_patients

    def leave_out(self, train: Ints, test: Ints) -> None:
        """Draws and counts these patients, by their numbers in each part, no more from now on.

        Their records are read no more either. The work of a step stays the same.
        """
        self._drawable[train] = False
        self._records.leave_out(train)
        self._scorer.leave_out(test)

    def initial_model(self) -> Tensors:
        """Returns the parameters that the study's seed gives, and an adaptive clip's start."""
        return dict(self._initial)

    @recipe_failures()
    @enough_memory("the comparison of gradients")
    def second_opinion(
        self, event: SampledGaussian | None, delta: float
    ) -> dict[str, str | float | None]:
        """Returns the fields of a ``SecondOpinion`` on this network and on what training costs.

        Args:
            event: the plan of training; None without privacy.
            delta: where its epsilon is read.

        Raises:
            StudyRefused: Opacus finds the network unfit, or other gradients.
        """
        from pipelines.gradients.opacus_check import (
            distances,
            opacus_epsilon,
            refuse_unfit,
            versions,
        )

        refuse_unfit(self._module)
        found: dict[str, str | float | None] = {**versions()}
        engine = self._backend.engine
        if engine in ENGINES:
            form = self._train.features.shape[1:]
            apart = distances(self._module, engine, form, self._learned.by_record, self._device)
            found |= {"engine_distance": apart.one_backward, "opacus_distance": apart.opacus}
        if event is not None:
            found["opacus_epsilon"] = opacus_epsilon(
                noise_multiplier=event.noise_multiplier,
                sampling_rate=event.sampling_rate,
                steps=event.steps,
                delta=delta,
                error=EPSILON_ERROR,
            )
        return found

    @recipe_failures()
    def update(self, given: RoundInput, entropy: Entropy) -> LocalEnd:
        """Returns how this hospital would change the model, and what it keeps for its next round.

        The update is (size,): an adaptive clip's movement stands behind the network's parameters.

        Args:
            given: the round; without a noise multiplier it trains without privacy.
            entropy: where sampling and noise come from.

        Guarantee: with multiplier z, both are functions of ``gradients_per_round`` sampled
        Gaussian mechanisms with multiplier z (of as many cycles, with correlated noise), of what
        such mechanisms gave in earlier rounds, and of public values only.
        """
        training, size = self._study.training, self._size
        start = flatten(without_slots(given.model)).astype(np.float64)
        strategy = strategy_of(training)
        begun = LocalStart(
            layout=self._layout,
            parameters=start[:size],
            round=given.number,
            steps=self._study.local_steps_of(self._site),
            bound=self._study.aggregation.bound,
            own=_without_clip(given.own, size),
            sent=slots_of(given.model, strategy.sends),
            coordinates=_of_network(round_vector(self._study, given.model, given.number), size),
        )
        draw, clip = self._draw_context(given), start[size:].copy()
        cycles = self._cycles(given)

        def gradient(number: int, parameters: Floats) -> Floats:
            if number == training.gradients_per_round:
                raise ValueError(f"{training.strategy} asks for more gradients than were priced")
            found, moves = self._step(
                np.concatenate([parameters, clip]),
                replace(draw, step=number),
                given.noise_multiplier,
                entropy,
                cycles,
            )
            clip[:] += moves
            return found

        end = local_end(training, begun, gradient)
        return replace(end, update=np.concatenate([end.update, clip - start[size:]]))

    def _step(
        self,
        parameters: Floats,
        draw: DrawContext,
        noise_multiplier: float | None,
        entropy: Entropy,
        cycles: Cycles | None = None,
    ) -> tuple[Floats, float]:
        """Returns the network's (size,) mean gradient, and by how much an adaptive clip moves."""
        privacy, network = self._privacy, parameters[: self._size]
        expected = self._study.expected_batch(self._site)
        if noise_multiplier is None or not isinstance(privacy, PatientPrivacy):
            _, drawn = self._sampled(draw, entropy)
            if isinstance(privacy, NoPrivacy) and privacy.clip is not None:
                whole = self._backend.clipped(network, drawn, privacy.clip)
                units = units_of(self._study, network.size)
                return np.asarray(whole * (privacy.clip / units / expected)), 0.0
            total = np.zeros(network.size)
            for summed in self._backend.plain(network, drawn):
                total += summed
            return np.asarray(total / expected), 0.0
        noised = self._noised(parameters, draw, noise_multiplier, entropy, cycles)
        units = units_of(self._study, parameters.size)
        scale = privacy.clip / units / expected
        if self._adaptive is None:
            return np.asarray(noised * scale), 0.0
        mean = counted_mean(
            noised.astype(np.int64, copy=False),
            count=count_units_of(self._study, privacy, parameters.size, noise_multiplier),
            units=units,
            clip=clip_at(parameters[-1], privacy.clip),
            expected=expected,
            rate=self._adaptive.rate,
        )
        return mean.gradient, moves_within(mean.log_step, parameters[-1])

    @recipe_failures()
    def noised_sum(self, given: RoundInput, entropy: Entropy) -> NDArray[np.int64]:
        """Returns the (size,) sum of one step's clipped gradients and this hospital's noise share.

        In units of the clipping bound (``protocol.study.rounds.noise_shares``). The share
        alone is no protection that anything else than the secure sum may see.

        Raises:
            ValueError: no noise multiplier is given.
        """
        if given.noise_multiplier is None:
            raise ValueError("a sum for shared noise has a noise multiplier")
        parameters = flatten(given.model).astype(np.float64)
        draw = self._draw_context(given)
        noised = self._noised(parameters, draw, given.noise_multiplier, entropy)
        return noised.astype(np.int64, copy=False)

    def _cycles(self, given: RoundInput) -> Cycles | None:
        """Returns the cycles of a round's steps; None where every step's noise is its own."""
        if self._privacy.correlated_noise is None or given.noise_multiplier is None:
            return None
        return Cycles(self._study, self._site, self._size, given.noise_multiplier)

    def _draw_context(self, given: RoundInput) -> DrawContext:
        return DrawContext(
            use="", study=self._study.digest, site=self._site, round_kind="training",
            round=given.number, attempt=given.attempt, step=0, dataset=self.dataset_digest,
            model=model_digest(given.model), sample="",
        )  # fmt: skip

    def _noised(
        self,
        parameters: NDArray[np.float64],
        draw: DrawContext,
        noise_multiplier: float,
        entropy: Entropy,
        cycles: Cycles | None = None,
    ) -> NDArray[np.int64] | Floats:
        """Returns the sum of the drawn patients' clipped gradients, in units, with exact noise.

        Behind them stands the count of an adaptive clip, with the same noise. It is an integer sum,
        but of a cycle's steps, whose noise is correlated.
        """
        privacy, size = self._privacy, parameters.size
        if not isinstance(privacy, PatientPrivacy):
            raise ValueError("a study without privacy has no clipping bound")
        chosen, drawn = self._sampled(draw, entropy, cycles)
        clip = clip_at(parameters[-1], privacy.clip) if self._adaptive else privacy.clip
        count = count_units_of(self._study, privacy, size, noise_multiplier)
        summed = self._backend.clipped(parameters[: self._size], drawn, clip, count)
        stream = entropy.stream(replace(draw, use="noise", sample=digest(chosen.tobytes())))
        if cycles is not None:
            return cycles.noised(summed, stream)
        noise = DiscreteGaussian(noise_multiplier * units_of(self._study, size))
        return summed + noise.sample(stream, size)

    def _sampled(
        self, draw: DrawContext, entropy: Entropy, cycles: Cycles | None = None
    ) -> tuple[NDArray[np.int64], Drawn]:
        """Returns which patients were drawn, and where they stand in the step's public form.

        As many random words are used for any draw that the form has places for, and however many
        patients there are.
        """
        sampling, form = entropy.stream(replace(draw, use="sample")), self._form
        count, own = self._study.site(self._site).patients, self._train.num_patients
        if cycles is None:
            drawn = poisson_sample(sampling, self._privacy.sampling_rate, max(count, own))
        else:
            drawn = cycles.drawn(draw, entropy, sampling, max(count, own))
        chosen = np.flatnonzero(drawn[:own] & self._drawable)
        places = max(form.batches, -(-len(chosen) // form.places)) * form.places
        starts: NDArray[np.uint64] = sampling.words(places, np.uint64)
        seeds = None
        if self._study.task.augmentation is not None:
            varying = entropy.stream(replace(draw, use="augmentation"))
            seeds = varying.words(places * form.records, np.uint32)
        return chosen, self._records.drawn(chosen, form, starts, seeds)

    def counts(self, model: Tensors, own: Tensors | None = None) -> tuple[Ints, Ints, Ints]:
        """Returns the counts of the test patients; see ``ModelScorer.counts``."""
        return self._scorer.counts(model, own)

    def groups(self) -> Ints:
        """Returns the (patients, groupings) places of test patients' groups, -1 for none.

        They stay in the hospital.
        """
        return self._scorer.groups

    def patient_scores(self, model: Tensors) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns each test patient's score and label; they stay in the hospital."""
        return self._scorer.patient_scores(model)


def _without_clip(own: OwnState, size: int) -> OwnState:
    """Returns an own state without the clip's movement in a late update: it was of its round."""
    return {**own, UNSENT: own[UNSENT][:size]} if UNSENT in own else own


def _of_network(vector: RoundVector, size: int) -> Ints | None:
    """Returns the places of a network's parameters that a round sends; None where it sends all."""
    places = vector.coordinates
    return None if places is None else places[places < size]


def try_step(study: Study, site: str, device: torch.device) -> tuple[str, int, int]:
    """Tries a site's steps and its evaluation on a device, without a record.

    Returns what computes the gradients, of how many patients at once, of how many records each.

    Raises:
        StudyRefused: no engine computes this network's gradients rightly.
        DeviceRefused: the device's memory does not hold a step, or the evaluation.
    """
    cohort, form = study.cohort, StepForm.of(study, site)
    labels = task_of(study.task, cohort).drawn_labels(np.random.default_rng(0), 1)
    nobody = Records(
        features=np.zeros((0, *cohort.record_form), dtype=np.float32),
        labels=labels[:0],
        patients=np.zeros(0, dtype=np.int64),
        patient_keys=(),
        rows=np.zeros(0, dtype=np.int64),
    )
    return Trainer(study, site, nobody, nobody, device=device).engine, form.places, form.records
