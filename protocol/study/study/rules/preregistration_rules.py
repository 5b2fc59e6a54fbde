"""Rules about a study's preregistration: every hypothesis can be decided, and none by two words.

Whether a figure is ever released follows from the figures of the task, which
``compliance.facts.dossier.preregistration.releasable`` knows.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from protocol.study.strategies.strategy import Problem
from protocol.study.study.agreed.preregistration import Preregistration, SuccessCriterion
from protocol.study.study.names import nearest
from protocol.study.study.record import StudyRecord


def preregistration_problems(study: StudyRecord) -> list[Problem]:
    """Returns the problems of a preregistration: names, hypotheses, groupings, contradictions."""
    said = study.preregistration
    if said is None:
        return []
    if study.calendar is not None:
        return [
            (
                "preregistration",
                "each run of a monitoring study is one release of its calendar, so no run decides "
                "a hypothesis: leave it out",
            )
        ]
    return [
        *_repeated("hypotheses", (one.name for one in said.hypotheses)),
        *_criterion_problems(study, said),
        *_hypothesis_problems(said),
        *_repeated("success", (one.name for one in said.success)),
        *_contradictions(said),
    ]


def _hypothesis_problems(said: Preregistration) -> Iterator[Problem]:
    path = "preregistration.hypotheses"
    first = [one.name for one in said.hypotheses if one.primary]
    if len(first) != 1:
        named = f"{', '.join(first)} are" if first else "none is"
        yield path, f"{named} the primary one: write primary: true at one of them"
        return
    for place, one in enumerate(said.hypotheses):
        if not said.criteria_of(one):
            yield (
                f"{path}.{place}",
                f"no criterion decides {one.name}: write one under success, or name it under "
                "exploratory",
            )


def _repeated(part: str, names: Iterable[str]) -> Iterator[Problem]:
    for name, times in Counter(names).items():
        if times > 1:
            yield f"preregistration.{part}", f"{name} stands there {times} times: names differ"


def _criterion_problems(study: StudyRecord, said: Preregistration) -> Iterator[Problem]:
    hypotheses = [one.name for one in said.hypotheses]
    groupings = list(study.evaluation.groups)
    for place, one in enumerate(said.success):
        path = f"preregistration.success.{place}"
        if one.hypothesis is not None and one.hypothesis not in hypotheses:
            hint = nearest(one.hypothesis, hypotheses)
            yield f"{path}.hypothesis", f"there is no hypothesis {one.hypothesis!r}{hint}"
        if one.grouping is not None and one.grouping not in groupings:
            known = ", ".join(groupings) or "none"
            yield (
                f"{path}.grouping",
                f"the study counts no grouping {one.grouping!r}: evaluation.groups has {known}",
            )


def _contradictions(said: Preregistration) -> Iterator[Problem]:
    """Yields criteria of one figure that no value satisfies together."""
    floors = [one for one in said.success if one.wants_more]
    for place, one in enumerate(said.success):
        for other in floors:
            if one.wants_more or _about(one) != _about(other) or other.threshold <= one.threshold:
                continue
            yield (
                f"preregistration.success.{place}",
                f"{one.name} and {other.name} cannot both be met: {one.figure} would be at most "
                f"{one.threshold:g} and at least {other.threshold:g}",
            )


def _about(one: SuccessCriterion) -> tuple[str, str, str | None, str | None]:
    return one.figure, one.of, one.grouping, one.outcome
