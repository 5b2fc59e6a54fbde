"""A refusal as a value: errors do not cross from one of Ray's processes to another whole."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from protocol.errors import FederationError, named

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class RemoteRefusal:
    """A refusal told to the hospital's own people: the kind and the whole reason."""

    kind: str
    reason: str

    def as_error(self) -> FederationError:
        """Returns the refusal as an error of its class."""
        return named(self.kind)(self.reason)


def refusal_as_value(work: Callable[[], Value]) -> Value | RemoteRefusal:
    """Returns what the work returns, or its refusal as a value."""
    try:
        return work()
    except FederationError as error:
        return RemoteRefusal(kind=type(error).__name__, reason=str(error))
