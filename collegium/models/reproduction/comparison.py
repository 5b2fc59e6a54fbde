"""Comparison of two sides of a run: what it came to, and what doing it again gave.

Pure. What "within tolerance" means:

1. Where all draws follow from recorded seeds, models are to be equal bit by bit. They are within
   tolerance where study and data are the same, and the Euclidean distance of the final parameters
   is above 0 and at most ``ROUNDING`` of their norm: another processor or library rounds otherwise.
   Where these are equal bit by bit, rounding explains no other difference.
2. Where noise was secret, everything before the noise is to be equal. It is within tolerance where
   the 95 % intervals of the first released figure overlap. Intervals count the noise and the
   patients of the evaluation, not the noise of training, which moves a model too.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from collegium.models.reproduction.answer import (
    DIFFERENT,
    IDENTICAL,
    WITHIN,
    ReproductionAnswer,
)
from collegium.models.reproduction.differences import DATA, STUDY, RunInputs, differences
from compliance.estimates.interval import Interval
from compliance.facts.dossier import Reproduction
from protocol.counted import counted

#: The largest distance of two models, as a part of their norm, that is called rounding.
ROUNDING = 1e-4


@dataclass(frozen=True, kw_only=True)
class CourseStep:
    """One finished round: its name, the digest of what it gave, and the sites in its sums."""

    name: str
    result: str
    sites: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RunSide:
    """One run: its inputs, what its rounds gave, and what it came to.

    ``exact`` is the digest of a simulation's exact figures. ``figure`` is the first released
    figure, with its name; None where there is none.
    """

    run_id: str
    inputs: RunInputs
    steps: tuple[CourseStep, ...]
    model: str | None
    exact: str | None
    figure: tuple[str, Interval] | None


@dataclass(frozen=True, kw_only=True)
class KeptSums:
    """The sums that were computed again from what the hospitals sent.

    ``fault`` is the first round of which something is not what was logged, and what that is.
    """

    right: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    fault: tuple[str, str] | None = None


def compare_recomputed(before: RunSide, kept: KeptSums) -> ReproductionAnswer:
    """Returns the answer about a run of real hospitals: of its kept sums and what follows."""
    return _of_kept(_begun(before, Reproduction.RECOMPUTED), kept)


def compare_repeated(
    before: RunSide, after: RunSide, kept: KeptSums, distance: float | None
) -> ReproductionAnswer:
    """Returns the answer about a run whose draws all follow from recorded seeds.

    ``distance`` is of the two final models, as a part of their norm; None where one is missing or
    they have other forms.
    """
    found = differences(before.inputs, after.inputs)
    begun = _begun(before, Reproduction.REPEATED)
    answer = replace(_of_kept(begun, kept), model_again=after.model, differences=found)
    if answer.first is not None:
        return answer
    answer = replace(answer, kind=IDENTICAL, compared=(*answer.compared, _compared(before, after)))
    if len(before.steps) < len(after.steps):
        last = before.steps[-1].name if before.steps else "its beginning"
        left = f"what came after {last}: the run ended there"
        answer = replace(answer, not_compared=(*answer.not_compared, left))
    where, why = next(_apart(before, after), (None, None))
    if where is None:
        return answer
    same = not any(one.kind in (STUDY, DATA) for one in found)
    if same and why is None and distance is not None and 0 < distance <= ROUNDING:
        tolerance = (
            f"the final models are {distance:.1e} of their norm apart, and up to {ROUNDING:.0e} is "
            "called rounding"
        )
        return replace(answer, kind=WITHIN, first=where, tolerance=tolerance)
    return replace(answer, kind=DIFFERENT, first=where, why=why)


def compare_redrawn(before: RunSide, after: RunSide, kept: KeptSums) -> ReproductionAnswer:
    """Returns the answer about a simulation whose noise was secret: new noise is other noise."""
    found = differences(before.inputs, after.inputs)
    begun = _begun(before, Reproduction.REDRAWN)
    answer = replace(_of_kept(begun, kept), model_again=after.model, differences=found)
    if answer.first is not None:
        return answer
    answer = replace(
        answer,
        not_compared=(
            *answer.not_compared,
            "batches and noise, and so the model of each round: their keys are never kept",
        ),
    )
    where, why = next(_apart_before_noise(before, after), (None, None))
    if where is not None:
        return replace(answer, kind=DIFFERENT, first=where, why=why)
    same = "the study, the records as they were split, the first model and who was in each sum"
    answer = replace(answer, compared=(*answer.compared, same))
    return _with_figures(answer, before, after)


def _begun(before: RunSide, how: Reproduction) -> ReproductionAnswer:
    return ReproductionAnswer(run_id=before.run_id, how=how, kind=IDENTICAL, model=before.model)


def _of_kept(answer: ReproductionAnswer, kept: KeptSums) -> ReproductionAnswer:
    """Returns the answer with what the kept sums say."""
    compared, gone = [], []
    if kept.right:
        compared.append(
            f"the sums of {', '.join(kept.right)}, from the masked vectors that were kept, and "
            "what follows from them"
        )
    if kept.gone:
        gone.append(f"the sums of {_few(kept.gone)}: their masked vectors are no longer kept")
    answer = replace(answer, compared=tuple(compared), not_compared=tuple(gone))
    if kept.fault is None:
        return answer
    return replace(answer, kind=DIFFERENT, first=kept.fault[0], why=kept.fault[1])


def _few(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - 3} others" if len(names) > 3 else ""
    return f"{', '.join(names[:3])}{more}"


def _compared(before: RunSide, after: RunSide) -> str:
    rounds = min(len(before.steps), len(after.steps))
    exact = ", the exact figures" if before.exact is not None and after.exact is not None else ""
    model = " and the final model" if before.model is not None and after.model is not None else ""
    return f"the results of {counted(rounds, 'round')}{exact}{model}, bit by bit"


def _apart(before: RunSide, after: RunSide) -> Iterator[tuple[str, str | None]]:
    """Yields where two courses part, and why where it is not the inputs."""
    for one, other in zip(before.steps, after.steps, strict=False):
        if one.name != other.name:
            yield one.name, f"in its place came {other.name}"
        elif one.result != other.result:
            yield one.name, _others(one, other)
    if len(after.steps) < len(before.steps):
        yield before.steps[len(after.steps)].name, "doing it again came no further"
    # A run that was stopped has neither; what it had, doing it again must have too.
    if before.exact is not None and before.exact != after.exact:
        yield "the exact figures", None if after.exact is not None else "there are none now"
    if before.model is not None and before.model != after.model:
        yield "the final model", None if after.model is not None else "there is none now"


def _apart_before_noise(before: RunSide, after: RunSide) -> Iterator[tuple[str, str | None]]:
    if before.inputs.test_noise != after.inputs.test_noise:
        yield "the noise, before any round", None
    if before.inputs.study != after.inputs.study:
        yield "the study, before any round", None
    one, other = before.inputs.manifest, after.inputs.manifest
    if one is not None and other is not None:
        sites = [
            site
            for site in sorted(one.sites.keys() & other.sites.keys())
            if one.sites[site].records != other.sites[site].records
        ]
        if sites:
            yield f"the records of {', '.join(sites)}, before training round 1", None
        if one.initial_model != other.initial_model:
            yield "the first model, before training round 1", None
    for step, again in zip(before.steps, after.steps, strict=False):
        if step.name != again.name or step.sites != again.sites:
            yield step.name, _others(step, again) or f"in its place came {again.name}"
    if len(after.steps) < len(before.steps):
        yield before.steps[len(after.steps)].name, "doing it again came no further"


def _others(one: CourseStep, other: CourseStep) -> str | None:
    if one.sites == other.sites:
        return None
    return f"its sum is of {', '.join(other.sites)}, before of {', '.join(one.sites)}"


def _with_figures(
    answer: ReproductionAnswer, before: RunSide, after: RunSide
) -> ReproductionAnswer:
    """Returns the answer where everything before the noise is equal: by the first figure."""
    if before.figure is None or after.figure is None:
        tolerance = "all before the noise is identical; no figure was released to be compared"
        return replace(answer, kind=WITHIN, tolerance=tolerance)
    (name, one), (_, other) = before.figure, after.figure
    if None in (one.low, one.high, other.low, other.high):
        tolerance = f"all before the noise is identical; {name} has no interval to be compared"
        return replace(answer, kind=WITHIN, tolerance=tolerance)
    told = f"{_interval(one)} and {_interval(other)}"
    if _overlap(one, other):
        tolerance = (
            "all before the noise is identical, and with new noise the 95 % intervals of "
            f"{name} overlap: {told}"
        )
        return replace(answer, kind=WITHIN, tolerance=tolerance)
    why = (
        f"its 95 % intervals do not overlap: {told}; all before the noise is identical, and new "
        "noise in training moves a figure by more than its interval counts"
    )
    return replace(answer, kind=DIFFERENT, first=f"the released {name}", why=why)


def _overlap(one: Interval, other: Interval) -> bool:
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return False
    return one.low <= other.high and other.low <= one.high


def _interval(found: Interval) -> str:
    return f"{found.low:.3f} to {found.high:.3f}"
