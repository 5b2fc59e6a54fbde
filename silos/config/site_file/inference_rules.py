"""The hospital's statement about its use of released models: how many records in a day."""

from pydantic import Field

from protocol.study.frozen_model import FrozenModel


class InferenceRules(FrozenModel):
    """Ordinary use of released models at this hospital.

    ``records_a_day`` is how many records its people score in 24 hours at most, in ordinary use;
    more raise an alarm in the log of queries (docs/inference.md), and are scored all the same.
    """

    records_a_day: int = Field(default=500, ge=1, le=1_000_000_000)
