"""Options of commands on released models, and how a model and a version are found by them."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from compliance.governance.models.serving import Disagreement
    from coordinator.views.several_runs.models import ModelLineView, ModelVersion

Name = Annotated[str, typer.Argument(help="The model's name in the register.")]
Version = Annotated[
    str,
    typer.Argument(help="The beginning of a snapshot's digest, a run's id or a model's digest."),
]
Reason = Annotated[str, typer.Option("--reason", help="Why, in a sentence; it is logged.")]
At = Annotated[
    str, typer.Option("--at", metavar="TIME", help="UTC: 2026-03-03, or with T12:00:00.000Z.")
]


def model_line(out: Path, name: str) -> "ModelLineView":
    """Returns a line of the register by its name.

    Raises:
        PolicyRefused: there is none.
    """
    from coordinator.views.views import open_views
    from protocol.errors import PolicyRefused

    with closing(open_views(out)) as views:
        lines = {line.line.name: line for line in views.models()}
    if name not in lines:
        known = ", ".join(lines) or "none"
        raise PolicyRefused(f"there is no model {name!r} in the register; there are: {known}")
    return lines[name]


def version_digest(out: Path, beginning: str) -> str:
    """Returns the digest of the snapshot that is meant: what is signed and logged is whole.

    Raises:
        PolicyRefused: there is no such snapshot, or there are several.
    """
    from coordinator.views.views import open_views

    with closing(open_views(out)) as views:
        return views.snapshot(beginning).snapshot.digest


def model_version(out: Path, name: str, beginning: str) -> "ModelVersion":
    """Returns a version of a model.

    Raises:
        PolicyRefused: there is no such model or snapshot, or the version is none of the model's.
    """
    from protocol.errors import PolicyRefused

    digest = version_digest(out, beginning)
    for one in model_line(out, name).versions:
        if one.snapshot.digest == digest:
            return one
    raise PolicyRefused(
        f"{digest[:12]} is no version of model {name!r}: register it first (collegium models "
        f"register {name} {digest[:12]})"
    )


def disagreement_text(one: "Disagreement") -> str:
    """Returns in words where a hospital stated another version than it was to serve."""
    meant = "none" if one.expected is None else one.expected[:12]
    return (
        f"{one.site} stated {one.stated[:12]} ({one.use}) from {one.since} to {one.until}; it was "
        f"to serve {meant}"
    )
