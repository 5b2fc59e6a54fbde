"""The hospitals of a study, and how a simulation divides one set of records among them."""

from typing import Annotated, Literal

from pydantic import Field

from protocol.study.cohort.vocabulary import Token
from protocol.study.frozen_model import Epsilon, FrozenModel
from protocol.study.study.names import Name, RelativePath, Seed


class Site(FrozenModel):
    """One hospital's place in the study.

    ``records`` says where a simulation finds this hospital's file below the
    data folder; a real hospital configures its own source. ``patients`` is the
    declared number of the site's training patients: a public round number, frozen
    for the study, that the site's sums are divided by and that is its weight. The
    site takes part only while neither its training nor its test patients are more,
    so nothing that it sends depends on how many they are.
    ``epsilon`` is less than the study's where the hospital promises its patients
    more; ``sampling_rate`` is then its own too, if it wants another. With ``groups: false``
    it has declined to count groups of its patients (``evaluation.groups``): they are in all
    other figures. With ``local_steps`` it takes fewer of them in a round than the study says.
    """

    name: Name
    records: RelativePath | None = None
    value: Token | None = None
    patients: int = Field(ge=1, le=10_000_000)
    epsilon: Epsilon | None = None
    sampling_rate: float | None = Field(default=None, gt=0, le=1)
    groups: bool = Field(default=True, exclude_if=lambda counted: counted)
    local_steps: int | None = Field(
        default=None, ge=1, le=10_000, exclude_if=lambda steps: steps is None
    )


class PartitionByColumn(FrozenModel):
    """A simulation's partitioning rule: the site is written in a column.

    Records of which it names no site of the study are refused, or left out with ``others``: of a
    study of some of the hospitals.
    """

    rule: Literal["column"]
    column: str = Field(min_length=1)
    others: Literal["refuse", "leave_out"] = Field(
        default="refuse", exclude_if=lambda what: what == "refuse"
    )


class PartitionBySkew(FrozenModel):
    """A simulation's partitioning rule: unequal shares, with label skew.

    For each class the shares are drawn from Dirichlet(concentration x shares);
    a low concentration gives hospitals with very different prevalence. A
    patient's records stay together.
    """

    rule: Literal["label_skew"]
    shares: tuple[Annotated[float, Field(gt=0)], ...]
    concentration: float = Field(default=8.0, gt=0, le=1e6)
    seed: Seed


class Partitioning(FrozenModel):
    """A simulation's partitioning of one set of records among the sites."""

    records: RelativePath
    how: Annotated[PartitionByColumn | PartitionBySkew, Field(discriminator="rule")]
