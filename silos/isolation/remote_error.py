"""A refusal as a value: errors do not cross from one of Ray's processes to another whole."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from protocol.errors import FederationError, named

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A refusal told to the hospital's own people: the kind and the whole reason."""

    kind: str
    reason: str

    def as_error(self) -> FederationError:
        """Returns the refusal as an error of its class."""
        return named(self.kind)(self.reason)


def told_as_value(work: Callable[[], Value]) -> Value | Refused:
    """Returns what the work returns, or its refusal as a value."""
    try:
        return work()
    except FederationError as error:
        return Refused(kind=type(error).__name__, reason=str(error))
