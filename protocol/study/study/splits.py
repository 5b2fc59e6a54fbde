"""The split of a study: which patients are trained on, and which are tested."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from protocol.study.cohort.vocabulary import Token
from protocol.study.frozen_model import FrozenModel
from protocol.study.study.names import Digest, RelativePath


class KeyedHashSplit(FrozenModel):
    """Patients are split by a keyed hash of their key; each hospital keeps its own key."""

    method: Literal["keyed_hash"] = "keyed_hash"
    test_fraction: float = Field(default=0.3, gt=0, lt=1)


class ColumnSplit(FrozenModel):
    """The part of a record is written in a column (``part`` for npz cohorts)."""

    method: Literal["column"]
    column: str = Field(min_length=1)
    train: tuple[Token, ...] = Field(min_length=1)
    test: tuple[Token, ...] = Field(min_length=1)


class FileSplit(FrozenModel):
    """The part of a record is written in an index file beside the study.

    A CSV with the header ``site,row,part``: the row counts a site's records
    from 0 as they stand in its file, part is ``train`` or ``test``. Records
    that the file does not name are not used.
    """

    method: Literal["file"]
    file: RelativePath
    sha256: Digest | None = None


#: How patients are divided into those of training and those of tests.
Split: TypeAlias = Annotated[
    KeyedHashSplit | ColumnSplit | FileSplit, Field(discriminator="method")
]
