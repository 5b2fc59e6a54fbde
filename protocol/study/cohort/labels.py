"""Labels: what is to be predicted of a patient, one form for each kind of task."""

from collections.abc import Collection, Mapping
from typing import Annotated, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Discriminator, Field, Tag, model_validator

from protocol.study.cohort.clinical import NO, YES, Clinical, ClinicalEvents, Death
from protocol.study.cohort.dates import DayOrColumn, day_named
from protocol.study.cohort.vocabulary import Vocabulary, canonical_token
from protocol.study.frozen_model import FrozenModel


def _differ(said: str, one: Vocabulary, other: Vocabulary) -> None:
    both = {canonical_token(v) for v in one} & {canonical_token(v) for v in other}
    if both:
        raise ValueError(f"{said}: {', '.join(sorted(both))}")


class _Label(FrozenModel):
    column: str | None = None
    clinical: Clinical | None = Field(default=None, exclude_if=lambda meaning: meaning is None)

    def _check_meaning(self, words: Collection[str] | None) -> None:
        """Refuses a clinical meaning that cannot fill the label's column, or never ends."""
        if self.clinical is None:
            return
        if self.column is None:
            raise ValueError("clinical: name the column that it fills")
        misfit = self.clinical.misfit(words)
        if misfit is not None:
            raise ValueError(f"clinical: {misfit}")
        if isinstance(self.clinical, Death | ClinicalEvents) and self.clinical.window[1] is None:
            raise ValueError(
                "clinical: window must have an end, or nobody was observed long enough to be "
                "without the event"
            )

    @property
    def clinical_meanings(self) -> Mapping[str, Clinical | None]:
        """The meaning of each of the label's columns; None where the study does not say."""
        return dict.fromkeys(self.columns, self.clinical)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the label is read from."""
        return () if self.column is None else (self.column,)

    @property
    def arrays(self) -> tuple[str, ...]:
        """The arrays of an image cohort that it is read from, without ``<part>_``."""
        return ("labels",)


class BinaryLabel(_Label):
    """The values of a column (or image label array) that mean disease, and those that do not."""

    positive: Vocabulary
    negative: Vocabulary

    @model_validator(mode="after")
    def _consistent(self) -> "BinaryLabel":
        _differ("both positive and negative", self.positive, self.negative)
        self._check_meaning(self.meaning)
        return self

    @property
    def meaning(self) -> dict[str, float]:
        """0.0 or 1.0 for every spelling that is known."""
        return {canonical_token(value): 0.0 for value in self.negative} | {
            canonical_token(value): 1.0 for value in self.positive
        }

    @property
    def num_classes(self) -> int:
        """Two: healthy and ill."""
        return 2


class _Classes(_Label):
    classes: dict[str, Vocabulary] = Field(min_length=2, max_length=100)

    @model_validator(mode="after")
    def _consistent(self) -> "_Classes":
        spelled = [canonical_token(v) for values in self.classes.values() for v in values]
        repeated = sorted({token for token in spelled if spelled.count(token) > 1})
        if repeated:
            raise ValueError(f"of two classes: {', '.join(repeated)}")
        return self

    @property
    def meaning(self) -> dict[str, float]:
        """The number of its class, for every spelling that is known."""
        return {
            canonical_token(value): float(number)
            for number, values in enumerate(self.classes.values())
            for value in values
        }

    @property
    def num_classes(self) -> int:
        """The number of classes."""
        return len(self.classes)


class ClassLabel(_Classes):
    """The classes of a column (or image label array), each with the values that mean it.

    They are numbered in the order declared. A patient whose records are of several
    classes is of the last of them.
    """

    @model_validator(mode="after")
    def _meant(self) -> "ClassLabel":
        self._check_meaning(self.meaning)
        return self


class FindingsLabel(_Label):
    """Several labels that a patient may have at once, each in a column of its own.

    Of an image cohort they are the columns of the array ``<part>_labels``, in the order declared.
    """

    findings: dict[str, BinaryLabel] = Field(min_length=2, max_length=64)

    @model_validator(mode="after")
    def _consistent(self) -> "FindingsLabel":
        if self.column is not None:
            raise ValueError("each finding has a column of its own")
        named = [one.column for one in self.findings.values() if one.column is not None]
        if len(set(named)) < len(named):
            raise ValueError("two findings have the same column")
        if named and len(named) < len(self.findings):
            raise ValueError("some findings have a column and some have not")
        if self.clinical is not None:
            raise ValueError("clinical stands at each finding")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the findings are read from, in the order declared."""
        return tuple(one.column for one in self.findings.values() if one.column is not None)

    @property
    def clinical_meanings(self) -> Mapping[str, Clinical | None]:
        """The meaning of each finding's column; None where the study does not say."""
        return {str(one.column): one.clinical for one in self.findings.values()}

    @property
    def num_classes(self) -> int:
        """The number of findings."""
        return len(self.findings)


class MaskLabel(_Classes):
    """The class of every pixel or voxel of an image: a mask of its size.

    Masks stand in an array of their own, ``<part>_<mask>`` beside ``<part>_images``. Classes are
    numbered in the order declared; the first is the background.
    """

    mask: str = Field(pattern=r"^[A-Za-z0-9_]{1,64}$")

    @property
    def arrays(self) -> tuple[str, ...]:
        """The arrays of an image cohort that it is read from."""
        return (self.mask,)


def _require_words(key: str, found: Vocabulary, word: str) -> None:
    if [canonical_token(value) for value in found] != [word]:
        raise ValueError(f"clinical: {key} must be [{word}]")


#: So many scales a label's range may be wide.
_MOST_SCALES = 50


class NumberLabel(_Label):
    """A column (or image label array) of numbers to be predicted.

    The network learns ``(value - centre) / scale``. Figures are in the column's unit; an
    error counts as four scales at most, and so does a value's distance from the centre.
    """

    range: tuple[float, float]
    centre: float = 0.0
    scale: float = Field(default=1.0, gt=0)
    outside: Literal["refuse", "clip"] = "refuse"

    @model_validator(mode="after")
    def _consistent(self) -> "NumberLabel":
        low, high = self.range
        if not low < high:
            raise ValueError(f"range must rise, got [{low}, {high}]")
        if not low <= self.centre <= high:
            raise ValueError(f"centre {self.centre:g} lies outside the range")
        if high - low > _MOST_SCALES * self.scale:
            raise ValueError(
                f"scale {self.scale:g} is small for the range: errors count as four scales at "
                f"most; declare the column's usual deviation, {(high - low) / _MOST_SCALES:g} or "
                "more"
            )
        self._check_meaning(None)
        return self

    @property
    def num_classes(self) -> int:
        """0: such a label has no classes."""
        return 0

    @property
    def bound(self) -> float:
        """The most that an error, or a value's distance from the centre, counts, in scales."""
        low, high = self.range
        return min(4.0, (high - low) / self.scale)


#: No time is later.
_LATEST = 1e9
#: What stands for a time of 0, which could not bear a sign.
_IN_PLACE_OF_ZERO = 2.0**-126


def _check_times(range_: tuple[float, float]) -> None:
    low, high = range_
    if not 0 <= low < high <= _LATEST:
        raise ValueError(
            f"range must rise from 0 or later, to {_LATEST:g} at most; got [{low:g}, {high:g}]"
        )


class SurvivalLabel(_Label):
    """Time that a patient was observed, and whether the event came at the end of it.

    ``column`` holds the time since the patient's entry, ``event`` names the column that says
    whether the event ``occurred`` then or the patient was ``censored``: not observed further.
    Of an image cohort both are arrays, ``<part>_labels`` and ``<part>_<event>``.

    A record's label is one number: the time, negative where the patient was censored.
    """

    event: str = Field(min_length=1)
    occurred: Vocabulary
    censored: Vocabulary
    range: tuple[float, float]

    @model_validator(mode="after")
    def _consistent(self) -> "SurvivalLabel":
        _check_times(self.range)
        _differ("both occurred and censored", self.occurred, self.censored)
        if self.event == self.column:
            raise ValueError("column is the time, and event another column")
        if self.clinical is not None:
            if (
                not isinstance(self.clinical, Death | ClinicalEvents)
                or self.clinical.take != "days"
            ):
                raise ValueError("clinical: a survival label is made by take: days of an event")
            _require_words("occurred", self.occurred, YES)
            _require_words("censored", self.censored, NO)
            self._check_meaning(None)
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the label is read from: time and event."""
        return (*super().columns, self.event)

    @property
    def arrays(self) -> tuple[str, ...]:
        """Times and events."""
        return (*super().arrays, self.event)

    @property
    def meaning(self) -> dict[str, float]:
        """1.0 for every spelling that means an event, 0.0 for those of a censored patient."""
        return {canonical_token(value): 0.0 for value in self.censored} | {
            canonical_token(value): 1.0 for value in self.occurred
        }

    @property
    def num_classes(self) -> int:
        """0: such a label has no classes."""
        return 0


def signed_times(times: NDArray[np.float64], events: NDArray[np.float64]) -> NDArray[np.float32]:
    """Returns labels of a ``SurvivalLabel``: times, negative where ``events`` is 0.

    A time of 0 counts as the least that is above it.

    >>> signed_times(np.array([2.0, 3.0]), np.array([1.0, 0.0])).tolist()
    [2.0, -3.0]
    """
    signs = np.where(events > 0, 1.0, -1.0)
    return np.asarray(np.maximum(times, _IN_PLACE_OF_ZERO) * signs, dtype=np.float32)


class _DatedLabel(_Label):
    """A label that is made of dates: of the first event after the index day.

    ``index_date`` and ``event_date`` are columns of dates; an empty event date is no event.
    ``observed_until`` is a column, or a day: the last on which an event would have been seen. An
    event later than that does not count.

    Days are counted from the index day, which is day 0. The event counts from day ``from_day`` on.
    One before that is refused, or ignored as if it were none, as ``before_index`` says. Whoever was
    not observed for long enough is refused, or left out and counted, as ``unobserved`` says.
    """

    event_date: str = Field(min_length=1)
    index_date: str = Field(min_length=1)
    observed_until: DayOrColumn
    from_day: Literal[0, 1] = 1
    before_index: Literal["refuse", "ignore"] = "refuse"
    unobserved: Literal["refuse", "drop"] = "refuse"

    @model_validator(mode="after")
    def _different(self) -> "_DatedLabel":
        if self.column is not None:
            raise ValueError("dates make this label: take column out")
        if len({self.event_date, self.index_date, self.observed_until}) < 3:
            raise ValueError("event_date, index_date and observed_until are different columns")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of dates that the label is read from."""
        last = () if day_named(self.observed_until) else (self.observed_until,)
        return (self.event_date, self.index_date, *last)


class EventLabel(_DatedLabel):
    """Whether the first event came within so many days after the index day.

    Ill (1) where it came on one of the days ``from_day`` to ``within_days``, both included. Healthy
    (0) where it did not, and the patient was observed through day ``within_days``.
    """

    within_days: int = Field(ge=1, le=100_000)

    @property
    def num_classes(self) -> int:
        """Two: healthy and ill."""
        return 2


class TimeToEventLabel(_DatedLabel):
    """Days from the index day to the first event, or to the last day that a patient was observed.

    The event came, or the patient was censored. Whoever was observed until before day ``from_day``
    was not observed for long enough. As of a ``SurvivalLabel`` the label is one number, negative
    where the patient was censored.
    """

    range: tuple[float, float]

    @model_validator(mode="after")
    def _consistent(self) -> "TimeToEventLabel":
        _check_times(self.range)
        return self

    @property
    def num_classes(self) -> int:
        """0: such a label has no classes."""
        return 0


#: The labels that are made of dates.
DatedLabel: TypeAlias = EventLabel | TimeToEventLabel


def _label_form(value: object) -> str:
    """Returns which form of label is meant: by the first of these keys that it has.

    A mask has classes too, and a label of times a range.
    """
    given = value if isinstance(value, dict) else getattr(value, "__dict__", {})
    for key in ("within_days", "event_date", "findings", "mask", "classes", "event", "range"):
        if key in given:
            return key
    return "positive"


Label: TypeAlias = Annotated[
    Annotated[BinaryLabel, Tag("positive")]
    | Annotated[FindingsLabel, Tag("findings")]
    | Annotated[MaskLabel, Tag("mask")]
    | Annotated[ClassLabel, Tag("classes")]
    | Annotated[SurvivalLabel, Tag("event")]
    | Annotated[EventLabel, Tag("within_days")]
    | Annotated[TimeToEventLabel, Tag("event_date")]
    | Annotated[NumberLabel, Tag("range")],
    Discriminator(_label_form),
]
