"""Commands of a tutorial, in order, with the lines that the page shows of what each prints.

In a block ``console`` a line that begins with ``$`` is a command. It goes on in the lines that
begin with ``>``, and, after ``<<'END'``, up to that word. All other lines are what is printed;
``...`` in them stands for what differs from run to run. What stands between the comments
``<!-- long -->`` and ``<!-- short -->`` is run in the long form alone.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_PORT = "8543"
_LONG, _SHORT = "<!-- long -->", "<!-- short -->"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command of a page and the lines that are shown of its output."""

    command: str
    shown: tuple[str, ...]
    is_long: bool

    def at_port(self, port: int) -> "Step":
        """Returns the step with another port in place of the page's."""
        changed = (line.replace(_PORT, str(port)) for line in self.shown)
        command = self.command.replace(_PORT, str(port))
        return replace(self, command=command, shown=tuple(changed))

    def missing_from(self, printed: str) -> list[str]:
        """Returns the lines that the page shows and the command did not print."""
        lines = [_plain(line) for line in printed.splitlines()]
        return [line for line in self.shown if not any(map(_pattern(line).fullmatch, lines))]


def steps_of(page: Path) -> list[Step]:
    """Returns the commands of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        step
        for block in _BLOCK.finditer(text)
        for step in _steps(
            block[1], text.rfind(_LONG, 0, block.start()) > text.rfind(_SHORT, 0, block.start())
        )
    ]


def _steps(block: str, is_long: bool) -> list[Step]:
    found: list[tuple[list[str], list[str]]] = []
    until: str | None = None
    for line in block.splitlines():
        if until is not None:
            found[-1][0].append(line)
            until = None if line == until else until
        elif line.startswith("$ "):
            found.append(([line[2:]], []))
        elif line.startswith("> "):
            found[-1][0].append(line[2:])
        else:
            found[-1][1].append(line)
            continue
        if (ends := re.search(r"<<'(\w+)'", line)) and until is None:
            until = ends[1]
    return [
        Step(command="\n".join(command), shown=tuple(filter(str.strip, shown)), is_long=is_long)
        for command, shown in found
    ]


def _plain(line: str) -> str:
    """Returns a line without what a table's width adds."""
    return " ".join(line.split())


def _pattern(line: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, _plain(line).split("..."))))
