"""``collegium silo restored`` and ``ledger write-off``: going on after a restore."""

import typer

from collegium.cli.silo.options import Home, SignedBy, Unasked, Yes
from collegium.output.console import ask_for_name, say

app = typer.Typer()
ledger_app = typer.Typer(help="Recovery from a ledger that lost entries.", no_args_is_help=True)
app.add_typer(ledger_app, name="ledger")


@app.command()
def restored(home: Home, signed_by: SignedBy, unasked: Unasked = False, yes: Yes = False) -> None:
    """Lets this hospital go on after a restore.

    For a restore that lost the lists in hospital-heads/.
    """
    from silos.operations.keys import show
    from silos.operations.restoring import accept_restored

    site = show(home).site
    say(
        f"The lists in hospital-heads/ show that {site}'s database is the newest copy. Without "
        "them nobody here can know it: if something was sent after this copy was made, patients "
        "pay twice from one budget. The signer answers for it. Every study needs a new "
        "approval.",
    )
    if not yes:
        ask_for_name(site)
    found = accept_restored(home, signed_by=signed_by, unasked=unasked)
    if found.were_good:
        say("as before  the lists agree with the database: nothing was changed")
        return
    say(f"goes on    from this copy; its heads are listed anew, signed by {signed_by}")
    for study in found.withdrawn:
        say(f"withdrawn  study {study[:16]}: collegium silo approve, if it may still run")


@ledger_app.command("write-off")
def ledger_write_off(
    home: Home, signed_by: SignedBy, unasked: Unasked = False, yes: Yes = False
) -> None:
    """Lets an older copy of a ledger go on. Its whole budget is booked as spent."""
    from compliance.privacy.rounding import percent
    from silos.operations.keys import show
    from silos.operations.restoring import write_off

    site = show(home).site
    say(
        "Part of the ledger is lost, so nobody knows what patients have paid. All that it can have "
        f"spent will count as spent of {site}'s budget, for ever: no study can be paid for here "
        "any more.",
    )
    if not yes:
        ask_for_name(site)
    found = write_off(home, signed_by=signed_by, unasked=unasked)
    summary = found.summary
    say(
        f"written off  {found.lost} lost heads are acknowledged; patients have paid at most "
        f"{percent(summary.dearest.spent)} of their budget (epsilon {summary.epsilon_max:g})"
    )
