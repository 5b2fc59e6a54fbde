"""The section that says, before anything is computed, what a study sets out to show and by what.

A part of the study: its digest covers the section, hospitals approve it, and the log's entry that
registers the study comes before the first round. Words are those of preregistration templates
(hypotheses, inference criteria, stopping rule, exploratory analyses).

Source: the OSF Preregistration template (osf.io/prereg); AsPredicted (aspredicted.org); Collins et
al. 2024, BMJ 385 (TRIPOD+AI, items 18c protocol and 18d registration).
"""

import unicodedata
from decimal import Decimal
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from protocol.study.frozen_model import FrozenModel
from protocol.study.study.names import Name
from protocol.study.task.evaluation import GroupingName

_MOST_LETTERS = 1000


def _is_one_line(text: str) -> str:
    kinds = {unicodedata.category(letter) for letter in text}
    if kinds & {"Zl", "Zp"} or any(kind[0] == "C" for kind in kinds):
        raise ValueError("a text is of one paragraph: in YAML write it after '>-'")
    return text


#: A paragraph for people.
Prose: TypeAlias = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=_MOST_LETTERS),
    AfterValidator(_is_one_line),
]
#: A name that people read, of a baseline or an outcome.
_Title: TypeAlias = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(_is_one_line),
]
#: The patients that a criterion is of: all together, every hospital or group for itself, the
#: largest gap between hospitals or groups, or one outcome (a class, a finding, a time).
Scope: TypeAlias = Literal[
    "all", "every_hospital", "hospital_gap", "every_group", "group_gap", "outcome"
]
#: Scopes of groups of patients, which need a grouping of the study's evaluation.
OF_GROUPS = frozenset({"every_group", "group_gap"})
#: Scopes of a gap between figures, which no baseline is compared with.
OF_GAPS = frozenset({"hospital_gap", "group_gap"})
#: Events after which a contingency applies, that the records of a run show.
Event: TypeAlias = Literal[
    "hospital_leaves", "figure_withheld", "run_ends_early", "round_repeated", "model_taken_back"
]


class Hypothesis(FrozenModel):
    """A hypothesis, by a name that criteria refer to; one of a study's is the primary one."""

    name: Name
    text: Prose
    primary: bool = Field(default=False, exclude_if=lambda first: not first)


class BaselineValue(FrozenModel):
    """A published value that a figure is compared with, and what reached it."""

    name: _Title
    value: float


class SuccessCriterion(FrozenModel):
    """A statement about one released figure that software decides.

    Attributes:
        name: of the criterion.
        hypothesis: the hypothesis that it belongs to; the primary one where it is left out.
        figure: the figure's name, as it is released.
        of: the patients that it is of.
        grouping: of the study's evaluation, for a criterion of groups.
        outcome: the class, finding or time, for a criterion of an outcome.
        at_least, at_most: the threshold; one of the two. With a baseline it is of the figure less
            the baseline's value.
        by: what must reach the threshold: the whole 95 % interval, or the estimate alone.
        baseline: a published value.
    """

    name: Name
    hypothesis: Name | None = Field(default=None, exclude_if=lambda named: named is None)
    figure: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.]{0,62}$")]
    of: Scope = "all"
    grouping: GroupingName | None = Field(default=None, exclude_if=lambda named: named is None)
    outcome: _Title | None = Field(default=None, exclude_if=lambda named: named is None)
    at_least: float | None = Field(default=None, exclude_if=lambda bound: bound is None)
    at_most: float | None = Field(default=None, exclude_if=lambda bound: bound is None)
    by: Literal["interval", "estimate"] = "interval"
    baseline: BaselineValue | None = Field(default=None, exclude_if=lambda named: named is None)

    @model_validator(mode="after")
    def _one_threshold(self) -> "SuccessCriterion":
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give either at_least or at_most")
        if (self.of in OF_GROUPS) != (self.grouping is not None):
            raise ValueError("grouping goes with of: every_group or group_gap, and with no other")
        if (self.of == "outcome") != (self.outcome is not None):
            raise ValueError("outcome goes with of: outcome, and with no other")
        if self.of in OF_GAPS and self.baseline is not None:
            raise ValueError("a gap has no baseline: leave it out, or take another of")
        return self

    @property
    def threshold(self) -> float:
        """The value that the figure itself must reach, a baseline's value included."""
        given = self.at_most if self.at_least is None else self.at_least
        base = 0.0 if self.baseline is None else self.baseline.value
        # As people add what they write: 0.1 and 0.2 are 0.3, and no more.
        return float(Decimal(repr(given or 0.0)) + Decimal(repr(base)))

    @property
    def words(self) -> str:
        """The criterion in a few words."""
        whose = self.of.replace("_", " ") + (f" of {self.grouping}" if self.grouping else "")
        bound = "at least" if self.wants_more else "at most"
        return (
            f"{self.figure} ({self.outcome or whose}) {bound} {self.threshold:g}, by its {self.by}"
        )

    @property
    def wants_more(self) -> bool:
        """Whether the figure must lie at or above the threshold; False: at or below."""
        return self.at_least is not None


class Contingency(FrozenModel):
    """A decision that was made beforehand: after which event what is done.

    ``when`` is an event that a run's records show; ``condition`` says another in words, which
    people judge. One of the two.
    """

    when: Event | None = Field(default=None, exclude_if=lambda event: event is None)
    condition: Prose | None = Field(default=None, exclude_if=lambda said: said is None)
    then: Prose

    @model_validator(mode="after")
    def _one_condition(self) -> "Contingency":
        if (self.when is None) == (self.condition is None):
            raise ValueError("give either when, a known event, or condition, a text")
        return self


class Preregistration(FrozenModel):
    """The preregistration of a study.

    Attributes:
        hypotheses: one of them primary.
        success: the criteria that decide them.
        contingencies: what is done if something happens.
        stopping: the rule by which the study ends before it is planned to.
        exploratory: analyses that test no hypothesis.
    """

    hypotheses: tuple[Hypothesis, ...] = Field(min_length=1, max_length=20)
    success: tuple[SuccessCriterion, ...] = Field(min_length=1, max_length=50)
    contingencies: tuple[Contingency, ...] = Field(
        default=(), max_length=20, exclude_if=lambda said: not said
    )
    stopping: Prose | None = Field(default=None, exclude_if=lambda said: said is None)
    exploratory: tuple[Prose, ...] = Field(
        default=(), max_length=20, exclude_if=lambda said: not said
    )

    @property
    def primary(self) -> Hypothesis:
        """The primary hypothesis; the first one where none says so, which a study refuses."""
        return next((one for one in self.hypotheses if one.primary), self.hypotheses[0])

    def criteria_of(self, hypothesis: Hypothesis) -> tuple[SuccessCriterion, ...]:
        """Returns the criteria that decide a hypothesis."""
        primary = self.primary.name
        return tuple(one for one in self.success if (one.hypothesis or primary) == hypothesis.name)
