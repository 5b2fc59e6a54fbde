"""Exit codes of ``collegium audit``, by which a nightly job tells tampering from a wrong option."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from collegium.output.console import complain, emit
from protocol.errors import FederationError, MessageRefused, PolicyRefused, WorkspaceRefused

#: As sysexits.h has them: 2 is kept for what was tampered with.
USAGE, NOT_FOUND, UNSETTLED = 64, 66, 75
_CODES: dict[type[FederationError], int] = {
    WorkspaceRefused: NOT_FOUND,
    MessageRefused: USAGE,
    PolicyRefused: USAGE,
}


@contextmanager
def audit_exit_codes(as_json: bool) -> Iterator[None]:
    """Ends the command with the exit code of what its block is refused for; JSON always answers."""
    try:
        yield
    except FederationError as error:
        emit({"verified": False, "error": str(error)}, as_json)
        for kind, code in _CODES.items():
            if isinstance(error, kind):
                complain(str(error))
                raise typer.Exit(code) from error
        raise
