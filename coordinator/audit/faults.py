"""Faults found by a verification, each with its place."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy.exc import InvalidRequestError

from protocol.errors import FederationError, StoreBroken

#: How many faults one error message names.
_MAX_TOLD = 5


@dataclass(frozen=True, kw_only=True)
class AuditFault:
    """One thing that is not what the log says: what, and of which hospital, run and round."""

    what: str
    hospital: str | None = None
    run: str | None = None
    round: str | None = None

    def __str__(self) -> str:
        place = [
            f"{name} {value}"
            for name, value in asdict(self).items()
            if name != "what" and value is not None
        ]
        return f"{', '.join(place)}: {self.what}" if place else self.what

    def to_json(self) -> dict[str, Any]:
        """Returns the fault as ``--json`` shows it."""
        return asdict(self)


class Faults:
    """Collects faults; a check that fails ends, and the next one begins."""

    def __init__(self) -> None:
        self.found: list[AuditFault] = []

    def add(self, what: str, **place: str | None) -> None:
        """Adds a fault, once."""
        fault = AuditFault(what=what, **place)
        if fault not in self.found:
            self.found.append(fault)

    @contextmanager
    def checking(self, what: str, **place: str | None) -> Iterator[None]:
        """Turns whatever a check raises into a fault of this place.

        Args:
            what: the record that is damaged where it cannot even be read: a
                cell of a database may hold whatever somebody wrote there.
        """
        try:
            yield
        except FederationError as error:
            self.add(str(error).removeprefix(f"run {place.get('run')}: "), **place)
        except (ValueError, TypeError, AttributeError, LookupError, InvalidRequestError):
            self.add(f"{what} is damaged: it holds a value that is never written there", **place)

    def require_none(self) -> None:
        """Checks that nothing was found.

        Raises:
            StoreBroken: names the first faults, and how many more there are.
        """
        if self.found:
            told = "; ".join(str(fault) for fault in self.found[:_MAX_TOLD])
            more = len(self.found) - _MAX_TOLD
            raise StoreBroken(f"{told} (and {more} more)" if more > 0 else told)
