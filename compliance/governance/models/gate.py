"""A gate between the stages of a model's version, with its result."""

from dataclasses import dataclass
from enum import StrEnum


class GateResult(StrEnum):
    """A result of a gate."""

    PASSED = "passed"
    FAILED = "failed"
    OPEN = "open"


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One gate with its result, and in words what it was judged by."""

    name: str
    result: GateResult
    said: str
