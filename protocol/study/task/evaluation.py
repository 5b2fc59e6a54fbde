"""The study's section ``evaluation``: what is counted once of the test patients, and of whom.

Besides all patients together the counts may be asked for of *groups*: by sex, by bands of age, by
scanner. A grouping names a column of the records and the values or the edges that tell patients
apart; a patient is in one group of a grouping at most, and in none where the cell is another or
missing. Every grouping has its share of the noise: a patient counts once more in it.
"""

import itertools
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from protocol.study.cohort.vocabulary import Token, canonical_token
from protocol.study.frozen_model import Epsilon, FrozenModel


def _is_readable(name: str) -> str:
    if any(unicodedata.category(letter)[0] == "C" for letter in name):
        raise ValueError("a name has letters and signs that can be seen, and no control characters")
    return name


def _has_no_colon(name: str) -> str:
    if ":" in name:
        raise ValueError("a grouping's name has no colon: it stands as 'grouping: group'")
    return name


#: A name that people read, of a group.
GroupName: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[^\s](.{0,61}[^\s])?$"), AfterValidator(_is_readable)
]
#: The name of a grouping; ``grouping: group`` names each group of a study once.
GroupingName: TypeAlias = Annotated[GroupName, AfterValidator(_has_no_colon)]
#: The bins of a group's counts, or of a hospital's own: two are a table of decisions.
PartBins: TypeAlias = Annotated[int, Field(ge=2, le=16)]
_MOST = 16


class Grouping(FrozenModel):
    """A way to tell patients apart: by a column's values, or by a number between edges.

    ``values`` has for each group the cells that mean it, in any spelling that a study's vocabulary
    would know as the same; ``edges`` are the rising borders between bands of a number, each the
    least number of the band above it.
    """

    column: str = Field(min_length=1, max_length=200)
    values: Mapping[GroupName, Token | tuple[Token, ...]] | None = None
    edges: tuple[float, ...] | None = Field(default=None, min_length=1, max_length=_MOST - 1)

    @field_validator("values")
    @classmethod
    def _sorted(
        cls, values: Mapping[str, Token | tuple[Token, ...]] | None
    ) -> Mapping[str, Token | tuple[Token, ...]] | None:
        return None if values is None else dict(sorted(values.items()))

    @model_validator(mode="after")
    def _one_way(self) -> "Grouping":
        if (self.values is None) == (self.edges is None):
            raise ValueError("give either values or edges")
        if self.edges is not None and any(a >= b for a, b in itertools.pairwise(self.edges)):
            raise ValueError("the edges must rise")
        if self.values is not None:
            if not 2 <= len(self.values) <= _MOST:
                raise ValueError(f"name 2 to {_MOST} groups")
            tokens = [token for group in self.tokens for token in group]
            if len(set(tokens)) < len(tokens):
                raise ValueError("a value stands in two groups")
        return self

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the groups, in the order of their counts.

        >>> Grouping(column="age", edges=(50, 65)).groups
        ('below 50', '50 to below 65', '65 and above')
        """
        if self.edges is None:
            return tuple(self.values or ())
        ends = [_written(edge) for edge in self.edges]
        between = [f"{low} to below {high}" for low, high in itertools.pairwise(ends)]
        return (f"below {ends[0]}", *between, f"{ends[-1]} and above")

    @property
    def tokens(self) -> tuple[tuple[str, ...], ...]:
        """The one spelling of every cell that means a group, by group; empty for bands."""
        named = (self.values or {}).values()
        several = [cells if isinstance(cells, tuple) else (cells,) for cells in named]
        return tuple(tuple(canonical_token(one) for one in group) for group in several)


def _written(edge: float) -> str:
    """Returns a number in few digits, or in as many as tell it from its neighbours."""
    short = f"{edge:g}"
    if float(short) == edge:
        return short
    return repr(edge).removesuffix(".0")


class Evaluation(FrozenModel):
    """The evaluation on the test patients after the last round, through the same secure sum.

    Scores are counted in ``bins`` that lie around the released model's scores
    (``protocol.vectors.score_grid``); ``auto`` is as many as suit the declared patients and
    ``epsilon`` (``protocol.vectors.number_of_bins``). ``epsilon`` defaults to the training
    epsilon: test patients are other patients, so each pays one of the two.
    ``site_share`` is the part of that budget spent on each site's own counts: of binary
    classification ``site_bins`` of scores by label, where two are the table of decisions.
    ``groups`` are counted beside all patients, in ``group_bins``. Counting again after counts
    were revealed needs new noise: ``attempts`` such releases are paid for beforehand.

    ``every`` so many rounds the model is evaluated so too, and each such evaluation is paid for:
    ``epsilon`` is of all of them together. With ``roll_back`` a run whose headline figure has
    become worse by more than that goes back to the model that was best.
    """

    epsilon: Epsilon | None = None
    bins: Annotated[int, Field(ge=4, le=256)] | Literal["auto"] = 16
    site_share: float = Field(default=0.2, gt=0, lt=1)
    attempts: int = Field(default=1, ge=1, le=5)
    site_bins: PartBins = Field(default=2, exclude_if=lambda bins: bins == 2)
    groups: Mapping[GroupingName, Grouping] = Field(
        default_factory=dict, max_length=8, exclude_if=lambda groups: not groups
    )
    group_bins: PartBins = Field(default=8, exclude_if=lambda bins: bins == 8)
    every: int | None = Field(
        default=None, ge=1, le=10_000, exclude_if=lambda rounds: rounds is None
    )
    roll_back: float | None = Field(
        default=None, gt=0, le=1e6, exclude_if=lambda worse: worse is None
    )

    @field_validator("groups")
    @classmethod
    def _in_order(cls, groups: Mapping[str, Grouping]) -> Mapping[str, Grouping]:
        return dict(sorted(groups.items()))
