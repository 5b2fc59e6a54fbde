"""``collegium silo key``: the identity key, which names this hospital in a roster."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from collegium.cli.options import AsJson
from collegium.cli.silo.options import Home
from collegium.output.console import answer, emit, say

if TYPE_CHECKING:
    from silos.operations.keys import KeyView

app = typer.Typer(
    help="The identity key, which names this hospital in a roster.", no_args_is_help=True
)


@app.command("show")
def key_show(home: Home, as_json: AsJson = False) -> None:
    """Shows the public identity keys, in groups to be read out by phone."""
    from dataclasses import asdict

    from silos.operations.keys import show

    view = show(home)
    print_keys(view, answer(as_json))
    emit(asdict(view), as_json)


@app.command("rotate")
def key_rotate(home: Home, as_json: AsJson = False) -> None:
    """Makes the next identity key and announces it.

    It counts from the roster that names it.
    """
    from dataclasses import asdict

    from silos.operations.keys import rotate

    view = rotate(home)
    print_keys(view)
    say(
        "next       the consortium's lead: collegium coordinator roster propose --home DIR",
        "           compare the next key by phone with the other hospitals",
        f"           collegium silo roster sign --home {home}, with the own key; others sign too, "
        "a quorum in all",
        "           then the next key is the own one; no process has to be restarted",
    )
    emit(asdict(view), as_json)


def print_keys(view: "KeyView", tell: Callable[..., None] = say) -> None:
    """Prints a hospital's public identity keys."""
    from protocol.identity.fingerprints import spoken

    tell(f"own key    {spoken(view.own)}  {view.site}")
    if view.next is not None:
        tell(f"next key   {spoken(view.next)}  no trusted roster names it yet")
    for public in view.former:
        tell(f"had key    {spoken(public)}")
