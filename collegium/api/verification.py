"""Verification: whether a folder is what was logged, and what could not be checked."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collegium.api.folder import Folder
from collegium.api.inputs import PathLike, as_path, with_printed_lines
from collegium.verification import verify as commands
from collegium.verification.inputs import AuditInputs
from compliance.reports.document import Bullets, Statement, Tone
from compliance.reports.renderers import render_fragment


@dataclass(frozen=True)
class Verification:
    """The result of verifying a folder; it is true only where everything held.

    Attributes:
        facts: what ``collegium audit verify --json`` shows.

    Example::

        found = cg.verify("demo-out")
        assert found, found.faults
    """

    facts: Mapping[str, Any]
    _lines: str = field(repr=False)
    _folder: Path = field(repr=False)
    _given: AuditInputs = field(repr=False)

    @property
    def faults(self) -> tuple[str, ...]:
        """The differences from what was logged, a sentence each."""
        return tuple(_sentence(fault) for fault in self.facts["faults"])

    @property
    def not_checked(self) -> tuple[str, ...]:
        """The checks that could not be made, a sentence each."""
        return tuple(self.facts["not_checked"])

    def require(self) -> None:
        """Refuses a folder with a fault, so that a program does not go on.

        Raises:
            StoreBroken: it is not what was logged.

        Example::

            cg.verify("demo-out").require()
        """
        commands.require_sound(self.facts, self._folder, self._given)

    def __bool__(self) -> bool:
        return bool(self.facts["verified"])

    def __repr__(self) -> str:
        return self._lines

    def _repr_html_(self) -> str:
        verdict = self._lines.splitlines()[-1]
        tone = Tone.GOOD if self else Tone.BAD if self.faults else Tone.CAUTION
        said = [("fault", fault) for fault in self.faults]
        said += [("not checked", sentence) for sentence in self.not_checked]
        return render_fragment((Statement(text=verdict, tone=tone),), (Bullets(items=tuple(said)),))


def verify(
    out: PathLike | Folder,
    *,
    key: str | None = None,
    checkpoints: PathLike | Sequence[PathLike] = (),
    report: PathLike | None = None,
    declarations: PathLike | None = None,
    hospital: PathLike | None = None,
    policy: PathLike | None = None,
) -> Verification:
    """Checks log, records, files and hospitals of a folder; writes nothing.

    Args:
        out: the folder, a hospital's own one too.
        key: the log's public key that you trust: hexadecimal, or a file. The folder's own by
            default: the folder's author could have written that too.
        checkpoints: one or several signed heads of the log that others kept.
        report: a report to check against these records.
        declarations: the consortium file that it was made with; the folder's by default.
        hospital: a hospital's own folder, to check against the log.
        policy: a tlog-policy with the keys of witnesses outside the consortium.

    Returns:
        The result. Faults do not raise here: look at it, or call ``require``.

    Raises:
        WorkspaceRefused: there is no run in the folder, or no such file.
        MessageRefused: the key is none.
        StoreBroken: the database cannot be read at all.

    Example::

        cg.verify("demo-out", key="coordinator.pub").faults
    """
    folder = out.out if isinstance(out, Folder) else as_path(out)
    heads = [checkpoints] if isinstance(checkpoints, str | os.PathLike) else checkpoints
    given = AuditInputs(
        key=key,
        checkpoints=tuple(as_path(path) for path in heads),
        report=None if report is None else as_path(report),
        declarations=None if declarations is None else as_path(declarations),
        hospital=None if hospital is None else as_path(hospital),
        policy=None if policy is None else as_path(policy),
    )
    facts, lines = with_printed_lines(lambda console: commands.verify(folder, given, console))
    return Verification(facts, lines, folder, given)


def _sentence(fault: Any) -> str:
    """Returns a fault with its place; a hospital's own check gives sentences."""
    if isinstance(fault, str):
        return fault
    place = [f"{name} {fault[name]}" for name in ("hospital", "run", "round") if fault[name]]
    return ": ".join(filter(None, (", ".join(place), fault["what"])))
