"""The choice of an engine that computes a network's per-patient gradients rightly.

Rules:

1. A network names its engine (``pipelines.networks``); no stop-watch decides anything,
   so that a study gives the same bits again (docs/adr/0006).
2. Before an engine is used it is tried on this very network with drawn parameters:
   its gradients are compared with one backward per record, and in the form of the
   micro-batches to come each patient's must follow from that patient's records alone
   (``batch_invariance``). An engine that fails is skipped, the next one is taken.
   Unclipped sums are one backward of the micro-batch, and are not tried: they bound nobody.
3. A network whose records cannot be told apart even so is refused by name: it
   draws random numbers, remembers or mixes records, or has parameters that the
   loss does not reach.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.gradients.batch_invariance import SHOWS_ROUNDING, depends_on_own_row_only, drawn_copy
from pipelines.gradients.clipping import PatientGradients
from pipelines.gradients.device import is_of_device
from pipelines.gradients.engines import ENGINES, Errors
from pipelines.networks.registry import engine_of
from pipelines.tasks.registry import task_of
from pipelines.tasks.task import TaskDefinition
from protocol.errors import StudyRefused
from protocol.study.cohort.cohort import Cohort
from protocol.study.task.task import Task

log = logging.getLogger("collegium.silo")

#: ``TaskDefinition.loss``.
Loss: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]

#: Largest difference from one backward per record, as a part of the gradient's norm; both in
#: float64, or rounding would decide on which side of its kink a rectified unit lies.
TOLERANCE = 1e-3
#: The same for a computation that is merely repeated.
_REPEATED = 1e-5
#: Four records are drawn for the comparison: of four patients, and of two with two records
#: each, of which the second's second has weight 0.
_WEIGHTS = (
    torch.ones(4, 1, dtype=torch.float64),
    torch.tensor([[0.5, 0.5], [1.0, 0.0]], dtype=torch.float64),
)
#: How far parameters are moved from their start for the comparison: see ``drawn_copy``.
_SPREAD = 0.1
#: How an engine says that it cannot do a network.
CANNOT = (RuntimeError, ValueError, TypeError, AttributeError, IndexError)


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """An engine, its name, and how far it is from one backward per record (of the norm)."""

    name: str
    engine: PatientGradients
    distance: float


def engine_for(task: Task, cohort: Cohort, module: nn.Module, form: tuple[int, ...]) -> Chosen:
    """Returns the engine of a task's network, or the next one that is right: ``right_engine``."""
    try:
        return right_engine(module, form, first_engine(task), task_of(task, cohort).by_record)
    except StudyRefused as error:
        if not task.recipe_uses:
            raise
        named = ", ".join(use.target for use in task.recipe_uses.values())
        raise StudyRefused(f"{error} (of the recipes {named})") from error


def first_engine(task: Task) -> str:
    """Returns the name of the engine that is tried first."""
    # Heads and adapters are linear layers, for which it was the fastest (docs/performance.md).
    named = "layers" if task.is_partly_frozen else engine_of(task.network)
    if named not in ENGINES:
        raise StudyRefused(f"task.network: {task.network.target} names no engine that there is")
    return named


def right_engine(
    module: nn.Module, form: tuple[int, ...], first: str, learned: TaskDefinition
) -> Chosen:
    """Returns the first engine, ``first`` before all, that is right and keeps patients apart.

    Args:
        module: maps (records, ...) to (records, outputs); it is left as it was. The engine
            computes on its device; what it is compared with is computed on the processor.
        form: (patients, records, ...) of the micro-batches to come.
        first: a name of ``ENGINES``.
        learned: whose loss's gradients are computed.

    Guarantee: on records drawn from a fixed seed each patient's gradient is within
    ``TOLERANCE`` of the mean of its records' own, relative to its norm, and no bit of
    it changes when other patients move, go or change.

    Raises:
        StudyRefused: the network keeps no engine's records apart.
    """
    drawn, sample = moved_copy(module), Sample.drawn(form[2:], learned)
    expected = one_backward_per_record(drawn, sample, learned.loss)
    device = next(module.parameters()).device
    reason = "no engine computes it here"
    for name in (first, *(name for name in ENGINES if name != first)):
        make = partial(engine_on, device, name, errors=learned.errors)
        try:
            apart = distance(make(drawn), sample, expected)
            row_independent = name == "one at a time" or _keeps_apart(make, module, form, learned)
        except CANNOT as error:
            if is_of_device(error):
                raise
            log.info("gradients by %r are skipped: %s", name, type(error).__name__)
            continue
        reason = "the records of one batch change each other's gradients"
        if not apart <= TOLERANCE:
            log.warning("gradients by %r are wrong by %.1e and so skipped", name, apart)
        elif not row_independent:
            log.info("gradients by %r let patients of one batch touch: skipped", name)
        else:
            log.info("gradients by %r, within %.1e of one backward per record", name, apart)
            return Chosen(name=name, engine=make(module), distance=apart)
    raise StudyRefused(f"task.network: {reason}")


def engine_on(
    device: torch.device, name: str, module: nn.Module, errors: Errors
) -> PatientGradients:
    """Returns an engine that computes on a device, to which the module is moved."""
    engine = ENGINES[name](module.to(device), errors)
    return lambda features, labels, weights: engine(
        features.to(device), labels.to(device), weights.to(device)
    )


def _keeps_apart(
    make: Callable[[nn.Module], PatientGradients],
    module: nn.Module,
    form: tuple[int, ...],
    learned: TaskDefinition,
) -> bool:
    """Returns whether a patient's row of a micro-batch follows from its own records."""
    engine = make(drawn_copy(module, SHOWS_ROUNDING))
    generator = np.random.default_rng(1)
    labels = torch.from_numpy(learned.drawn_labels(generator, form[0] * form[1]))
    labels = labels.reshape(*form[:2], *labels.shape[1:])
    weights = torch.full(form[:2], 1 / form[1])
    example = generator.normal(size=form).astype(np.float32)
    labels[:] = labels[0]  # rows are moved: what stays in its place is the same for all
    return depends_on_own_row_only(
        lambda rows: rows_of(engine(torch.from_numpy(rows), labels, weights)), example
    )


def moved_copy(module: nn.Module) -> nn.Module:
    """Returns the copy with drawn parameters, in float64, on which engines are compared."""
    return drawn_copy(module, _SPREAD).double()


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Four drawn records: features (4, ...), in float64, and labels (4, ...)."""

    features: Tensor
    labels: Tensor

    @classmethod
    def drawn(cls, form: tuple[int, ...], learned: TaskDefinition) -> "Sample":
        """Returns records of this form from a fixed seed, with labels that the task can have."""
        generator = np.random.default_rng(0)
        features = torch.from_numpy(generator.normal(size=(4, *form)))
        labels = torch.from_numpy(learned.drawn_labels(generator, 4)).double()
        return cls(features=features, labels=labels)


def distance(engine: PatientGradients, sample: Sample, records: NDArray[np.floating]) -> float:
    """Returns how far an engine is from the records' own gradients, as a part of the norm."""
    apart = 0.0
    for weights in _WEIGHTS:
        found = engine(
            sample.features.reshape(*weights.shape, *sample.features.shape[1:]),
            sample.labels.reshape(*weights.shape, *sample.labels.shape[1:]),
            weights,
        )
        given, own = rows_of(found), records.reshape(*weights.shape, -1)
        expected = (own * weights.numpy()[:, :, None]).sum(axis=1)
        apart = max(apart, _difference(given, expected))
    return apart


def rows_of(tensor: Tensor) -> NDArray[np.floating]:
    """Returns the numbers of a tensor, which is copied only from another device."""
    return np.asarray(tensor.detach().cpu().numpy())


def one_backward_per_record(module: nn.Module, sample: Sample, loss: Loss) -> NDArray[np.floating]:
    """Returns (records, parameters): the oracle; refuses a network that has none.

    Raises:
        StudyRefused: a record has no gradient of its own.
    """
    features, labels = sample.features, sample.labels
    one = torch.ones(1, dtype=features.dtype)
    _check_all_reached(module, lambda: loss(module(features[:1]), labels[:1], one))
    owned = [parameter for _, parameter in sorted(module.named_parameters())]

    def record(place: int) -> NDArray[np.floating]:
        at = slice(place, place + 1)
        with torch.enable_grad():
            parts = torch.autograd.grad(loss(module(features[at]), labels[at], one), owned)
        return rows_of(torch.cat([part.reshape(-1) for part in parts]))

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        rows = np.stack([record(place) for place in range(len(labels))])
        again = record(0)[None]
    if not np.isfinite(rows).all():
        raise StudyRefused("task.network: a drawn record's gradient is not finite")
    if not _difference(again, rows[:1]) <= _REPEATED:
        raise StudyRefused(
            f"task.network: {_changing(module, features)} draws random numbers in training, or "
            "remembers records: a record's gradient is not the same twice"
        )
    return rows


def _check_all_reached(module: nn.Module, loss: Callable[[], Tensor]) -> None:
    owned = sorted(module.named_parameters())
    for name, parameter in owned:
        if not parameter.requires_grad:
            raise StudyRefused(f"task.network: parameter {name!r} is frozen")
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            found = torch.autograd.grad(loss(), [p for _, p in owned], allow_unused=True)
    except CANNOT as error:
        if is_of_device(error):
            raise
        raise StudyRefused(
            f"task.network: no gradient of one record alone: {type(error).__name__}"
        ) from error
    for (name, _), gradient in zip(owned, found, strict=True):
        if gradient is None:
            raise StudyRefused(f"task.network: the loss does not reach parameter {name!r}")


def _changing(module: nn.Module, features: Tensor) -> str:
    """Returns which layer is the first to answer otherwise when asked the same again."""
    heard: list[tuple[str, Tensor]] = []

    def listener(name: str) -> Callable[[nn.Module, object, object], None]:
        def listen(layer: nn.Module, entered: object, left: object) -> None:
            if isinstance(left, Tensor):
                heard.append((name, left.detach().clone()))

        return listen

    hooks = [m.register_forward_hook(listener(name)) for name, m in module.named_modules()]
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for row in (features[:1], features[1:2], features[:1]):
            module(row)
    for hook in hooks:
        hook.remove()
    each = len(heard) // 3
    for (name, before), (_, after) in zip(heard[:each], heard[2 * each :], strict=True):
        if not torch.equal(before, after):
            return f"layer {name!r}" if name else "it"
    return "it"


def _difference(found: NDArray[np.floating], expected: NDArray[np.floating]) -> float:
    """Returns the largest distance of two rows as a part of the expected row's norm."""
    if found.shape != expected.shape:
        return float("inf")
    apart = found - expected
    squares = np.vecdot(apart, apart) / np.maximum(np.vecdot(expected, expected), 1e-24)
    worst = float(np.sqrt(squares.max()))
    return worst if worst == worst else float("inf")  # NaN is as wrong as can be
