"""Input and output of commands: answers and JSON on stdout, all other words on stderr."""

import json
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from protocol.errors import PolicyRefused

#: As wide as any row of a table.
_ONE_LINE_A_ROW = 300
#: What people read in a page, a mail or a log.
PAGE = 100


#: What a terminal takes for an order, and what turns the direction of writing.
_ORDERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class PlainConsole(Console):
    """A console that shows texts of others as they are: none of them moves or hides anything.

    A study's title, a hospital's reason or a file's name could else erase or conceal lines.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yields what is shown, each order to the terminal as a replacement character."""
        for one in super().render(renderable, options):
            is_plain = one.control or _ORDERS.search(one.text) is None
            yield (
                one
                if is_plain
                else one._replace(text=_ORDERS.sub("\N{REPLACEMENT CHARACTER}", one.text))
            )


def console() -> Console:
    """Returns where people read; a log file is as wide as it needs to be."""
    width = None if sys.stderr.isatty() else 200
    return PlainConsole(stderr=True, highlight=False, width=width)


def answers(as_json: bool = False, *, in_a_pipe: int = _ONE_LINE_A_ROW) -> Console:
    """Returns where the answer to a question goes: stdout, in a pipe one line for each row.

    With ``as_json`` stdout is the machine's, and people read the answer on stderr.

    Args:
        as_json: whether JSON was asked for.
        in_a_pipe: how many columns wide it is where nobody's terminal is.
    """
    to = sys.stderr if as_json else sys.stdout
    width = None if to.isatty() else in_a_pipe
    return PlainConsole(stderr=as_json, highlight=False, width=width)


def answer(as_json: bool) -> Callable[..., None]:
    """Returns what prints lines of an answer as they are, where ``answers`` says."""
    screen = answers(as_json)

    def tell(*lines: str) -> None:
        for line in lines:
            screen.print(line, markup=False, soft_wrap=True)

    return tell


def say(*lines: str) -> None:
    """Prints lines for people, as they are."""
    for line in lines:
        console().print(line, markup=False, soft_wrap=True)


def complain(what: str) -> None:
    """Prints why a command did not do what was asked."""
    console().print(f"collegium: {what}", style="red", markup=False, soft_wrap=True)


def ask(prompt: str) -> str:
    """Asks a person for a line; returns it without blanks around it, empty when nobody is there."""
    console().print(f"{prompt}: ", markup=False, soft_wrap=True, end="")
    return sys.stdin.readline().strip()


def ask_for_name(site: str) -> None:
    """Asks for the hospital's name, so that nothing that cannot be undone happens by a slip.

    Raises:
        PolicyRefused: another was typed.
    """
    typed = ask("to do this, type the hospital's name")
    if typed != site:
        raise PolicyRefused(f"{typed!r} is not this hospital's name: nothing was done")


def emit(value: Any, as_json: bool) -> None:
    """Prints JSON for machines, where it was asked for."""
    if as_json:
        sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")
