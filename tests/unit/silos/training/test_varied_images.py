"""A patient's gradient is the mean over the varied copies of its images, clipped once."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import DTypeLike, NDArray

from pipelines.gradients.clipping import clip_to_integers
from pipelines.networks.networks import build, parameters_of
from pipelines.tasks.registry import task_of
from pipelines.transforms.augmentation import augmenter_of
from protocol.errors import StudyRefused
from protocol.study.rounds.noise_shares import units_for
from protocol.study.study import Study
from protocol.vectors.keystream import Keystream, fresh_key
from protocol.vectors.tensors import flatten
from silos.training.randomness import DrawContext, FixedEntropy, RoundInput, SecretEntropy
from silos.training.steps.step_form import Drawn, PatientRecords, StepForm
from silos.training.trainer import Trainer
from silos.training.worker import Worker
from tests.bench import studies

VARIED = """\
  augmentation:
    copies: 3
    transforms:
      - {_target_: RandFlipd, prob: 0.5, spatial_axis: 1}
      - {_target_: RandAffined, prob: 1, translate_range: 3, rotate_range: 0.3}
"""
SITE = "east"


def study_of(varied: str = VARIED) -> Study:
    network = "{_target_: Classifier, channels: [4], strides: [2]}"
    return studies.imaging(
        micro_batch=4, side=12, patients=12, rate=0.5, network=f"{network}\n{varied}"
    )


def drawn_of(study: Study, chosen: list[int], count: int) -> tuple[StepForm, Drawn]:
    form = StepForm.of(study, SITE)
    places = form.batches * form.places
    starts = np.zeros(places, dtype=np.uint64)
    own = np.random.default_rng(0).integers(0, 2**32, places * form.records, dtype=np.uint32)
    records = PatientRecords(np.arange(count), study.records_per_patient)
    return form, records.drawn(np.array(chosen), form, starts, own)


def one_by_one(
    study: Study, drawn: Drawn, features: NDArray[np.float32], labels: NDArray[np.float32]
) -> torch.Tensor:
    """The clipped sum by one backward for each patient's copies, varied one by one."""
    module = build(study.task, study.cohort, study.seeds.model).train()
    learned, vary = task_of(study.task, study.cohort), augmenter_of(study.task, study.cohort)
    owned = [parameter for _, parameter in sorted(module.named_parameters())]
    assert vary is not None and drawn.seeds is not None
    rows = []
    for records, weights, own in zip(drawn.records, drawn.weights, drawn.seeds, strict=True):
        for place in range(len(records)):
            if not weights[place].any():
                continue
            copies = [
                vary(features[[record]], labels[[record]], seed[None])[0]
                for record, seed in zip(records[place], own[place], strict=True)
            ]
            assert len({copy.tobytes() for copy in copies}) == len(copies) == 3
            outputs = module(torch.from_numpy(np.concatenate(copies)))
            given = torch.from_numpy(labels[records[place]])
            loss = learned.loss(outputs, given, torch.full((3,), 1 / 3))
            rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, owned)]))
    size = len(rows[0])
    return clip_to_integers(torch.stack(rows), clip=0.05, units=units_for(size))


def test_the_sum_is_that_of_each_patients_mean_over_its_copies() -> None:
    study = study_of()
    data = studies.drawn_records(study, 12)
    form, drawn = drawn_of(study, [1, 5, 6, 9, 11], 12)
    filled = drawn.weights[..., 0] > 0
    assert form.records == 3 and np.allclose(drawn.weights.sum(axis=2)[filled], 1)
    worker = Worker(study, form, data.features, data.labels)
    model = parameters_of(build(study.task, study.cohort, study.seeds.model))
    found = worker.clipped(flatten(model).astype(np.float64), drawn, 0.05)
    expected = one_by_one(study, drawn, data.features, data.labels).numpy()
    assert np.linalg.norm(found - expected) <= 1e-3 * np.linalg.norm(expected)


def test_parts_of_a_step_are_varied_as_in_the_whole() -> None:
    study = study_of()
    data = studies.drawn_records(study, 12)
    form, drawn = drawn_of(study, list(range(12)), 12)
    worker = Worker(study, form, data.features, data.labels)
    parameters = flatten(parameters_of(build(study.task, study.cohort, 1))).astype(np.float64)
    whole = worker.clipped(parameters, drawn, 0.05)
    parts = [worker.clipped(parameters, drawn.part(first, 2), 0.05) for first in range(2)]
    assert form.batches > 1 and np.array_equal(parts[0] + parts[1], whole)


def test_a_place_is_varied_alike_whoever_fills_it() -> None:
    study = study_of()
    data = studies.drawn_records(study, 12)
    trainer = Trainer(study, SITE, data, data)
    given = RoundInput(model=trainer.initial_model(), number=3, noise_multiplier=1.0)
    draw, entropy = trainer._draw_context(given), FixedEntropy(1, simulated=True)
    chosen, drawn = trainer._sampled(draw, entropy)
    fewer = Trainer(study, SITE, data.take(np.arange(6)), data)
    others, again = fewer._sampled(draw, entropy)
    assert len(chosen) != len(others)
    assert drawn.seeds is not None and np.array_equal(drawn.seeds, again.seeds)


def test_a_model_is_evaluated_on_images_as_they_are() -> None:
    study, plain = study_of(), study_of(varied="")
    data = studies.drawn_records(study, 12)
    trainers = [Trainer(each, SITE, data, data) for each in (study, plain)]
    model = trainers[0].initial_model()
    scores = [trainer.patient_scores(model)[0] for trainer in trainers]
    assert np.array_equal(*scores)
    given = RoundInput(model=model, number=0, noise_multiplier=None)
    updates = [
        trainer.update(given, FixedEntropy(1, simulated=True)).update for trainer in trainers
    ]
    assert not np.allclose(*updates)


@pytest.mark.parametrize(
    ("written", "instead", "line", "words"),
    [
        ("copies: 3", "copies: 0", 2, "copies: input should be greater than or equal to 1"),
        ("RandFlipd", "monai.RandFlipd", 4, "'_target_' is 'monai.RandFlipd', not one of"),
        ("prob: 0.5", "prob: $0.5", 4, "prob: input should be a valid number"),
        ("spatial_axis: 1", "spatial_axis: 2", 4, "spatial_axis 2: the images have the axes 0, 1"),
        ("translate_range: 3", "func: print", 5, "func: unknown key"),
    ],
)
def test_what_is_not_on_the_list_is_refused_with_its_line(
    written: str, instead: str, line: int, words: str
) -> None:
    with pytest.raises(StudyRefused) as refused:
        study_of(VARIED.replace(written, instead))
    before = 14  # lines of the study above the section
    assert f"study:{before + line}: task.augmentation" in str(refused.value)
    assert words in str(refused.value)


def test_a_list_whose_only_item_is_wrong_is_not_said_to_be_empty() -> None:
    with pytest.raises(StudyRefused) as refused:
        study_of("  augmentation: {transforms: [{_target_: RandFlipd, prob: 7, spatial_axis: 1}]}")
    assert str(refused.value).count("study:") == 1 and "prob: " in str(refused.value)
    with pytest.raises(StudyRefused, match="at least 1 item"):
        study_of("  augmentation: {transforms: []}")


def test_a_step_without_seeds_is_an_error_of_ours() -> None:
    study = study_of()
    data = studies.drawn_records(study, 12)
    form, drawn = drawn_of(study, [1], 12)
    worker = Worker(study, form, data.features, data.labels)
    parameters = flatten(parameters_of(build(study.task, study.cohort, 1))).astype(np.float64)
    with pytest.raises(ValueError, match="a seed for each"):
        worker.clipped(parameters, Drawn(records=drawn.records, weights=drawn.weights), 1.0)


def test_every_step_round_and_attempt_has_seeds_of_its_own() -> None:
    study = study_of()
    data = studies.drawn_records(study, 12)
    trainer = Trainer(study, SITE, data, data)
    given = RoundInput(model=trainer.initial_model(), number=3, noise_multiplier=1.0)
    draw = trainer._draw_context(given)
    contexts = [draw, *(replace(draw, **{key: 1}) for key in ("step", "round", "attempt"))]
    fixed = FixedEntropy(1, simulated=True)
    pairs = [(fixed, context) for context in contexts] + [(SecretEntropy(), draw)] * 2
    found = [trainer._sampled(context, entropy)[1].seeds for entropy, context in pairs]
    assert len({seeds.tobytes() for seeds in found if seeds is not None}) == len(pairs)


class Counting(SecretEntropy):
    """Fresh keys, and how many random words were taken of each draw."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, int]] = []

    def stream(self, draw: DrawContext) -> Keystream:
        taken, stream = self.taken, super().stream(draw)

        class Counted(Keystream):
            def words(self, count: int, dtype: DTypeLike = np.uint32) -> Any:
                taken.append((draw.use, count))
                return stream.words(count, dtype)

        return Counted(fresh_key())


def test_as_many_random_words_are_taken_whoever_is_drawn() -> None:
    study = study_of()
    data = studies.drawn_records(study, 12)
    trainers = [Trainer(study, SITE, each, data) for each in (data, data.take(np.arange(5)))]
    given = RoundInput(model=trainers[0].initial_model(), number=0, noise_multiplier=1.0)
    taken, drawn = set(), set()
    for trainer in trainers * 10:
        entropy = Counting()
        chosen, _ = trainer._sampled(trainer._draw_context(given), entropy)
        drawn.add(len(chosen))
        taken.add(tuple(entropy.taken))
    assert len(drawn) > 3 and len(taken) == 1
    assert {use for use, _ in taken.pop()} == {"sample", "augmentation"}
