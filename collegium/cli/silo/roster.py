"""``collegium silo roster``: whose updates this hospital's are summed with."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collegium.cli.options import AsJson
from collegium.cli.silo.keys import print_keys
from collegium.cli.silo.options import Digest, Home, Yes
from collegium.output.console import answer, ask, ask_for_name, emit, say
from protocol.errors import PolicyRefused

if TYPE_CHECKING:
    from protocol.identity.roster import Roster

app = typer.Typer(
    help="The roster of members whose updates ours are summed with.", no_args_is_help=True
)


@app.command("show")
def roster_show(home: Home, as_json: AsJson = False) -> None:
    """Shows the trusted roster, and the one that waits to be compared."""
    from silos.operations.roster import look

    view, tell = look(home), answer(as_json)
    _print_roster("trusted", view.trusted, tell)
    if view.proposed is not None:
        _print_roster("proposed", view.proposed.roster, tell)
        tell(f"  signed by: {', '.join(sorted(view.proposed.signatures)) or 'nobody'}")
    if view.first is not None:
        _print_roster("to be trusted", view.first.roster, tell)
    if view.problem:
        tell(f"no news: {view.problem}")
    emit(
        {
            "trusted": _described(view.trusted),
            "proposed": _described(view.proposed.roster if view.proposed else None),
            "first": _described(view.first.roster if view.first else None),
            "problem": view.problem,
        },
        as_json,
    )


@app.command("compare")
def roster_compare(home: Home, as_json: AsJson = False) -> None:
    """Shows the safety number with each other hospital.

    The two of you read it to each other.
    """
    from silos.operations.roster import safety_numbers

    roster, numbers = safety_numbers(home)
    if roster is None:
        raise PolicyRefused("no roster is there yet: the coordinator proposes one")
    tell = answer(as_json)
    tell(
        f"roster {roster.version}. Call each hospital by a number that you know from elsewhere; "
        "one reads, the other follows on its own screen.",
    )
    for site, number in numbers.items():
        groups = number.split()
        tell(f"{site}", *(f"    {' '.join(groups[row : row + 4])}" for row in range(0, 16, 4)))
    tell(
        "It covers both hospitals' identity keys, the coordinator's signing key and the TLS root. "
        "One digit that differs: do not sign, and tell the others.",
    )
    emit({"roster": roster.digest, "numbers": numbers}, as_json)


@app.command("sign")
def roster_sign(home: Home, digest: Digest = None) -> None:
    """Signs the proposed roster, after its keys were compared.

    People compare them with the other hospitals first.
    """
    from silos.operations.roster import look, sign

    view = look(home)
    _print_roster("proposed", view.proposed.roster if view.proposed else None)
    if view.problem or view.proposed is None:
        raise PolicyRefused(view.problem or "no roster waits for signatures")
    roster, complete = sign(home, digest or _typed_roster_digest())
    rest = "every signature is there" if complete else "others have yet to sign"
    say(f"signed     roster {roster.version}; {rest}")


@app.command("trust")
def roster_trust(home: Home, digest: Digest = None) -> None:
    """Trusts the first roster that this hospital sees.

    People compare it with other members first.
    """
    from silos.operations.roster import look, trust

    view = look(home)
    _print_roster("to be trusted", view.first.roster if view.first else None)
    if view.problem or view.first is None:
        raise PolicyRefused(view.problem or "there is no roster to compare")
    roster = trust(home, digest or _typed_roster_digest())
    say(f"trusted    roster {roster.version}")


@app.command("leave")
def roster_leave(
    home: Home,
    reason: Annotated[str, typer.Option("--reason", help="Kept for ever.")],
    yes: Yes = False,
) -> None:
    """Ends trust in every roster so far, and the identity key.

    Budget and ledger stay.
    """
    from silos.operations.keys import leave, show

    site = show(home).site
    say(
        f"{site} will trust no roster any more, and will have a new identity key. What its "
        "patients have paid, its approvals and its split key stay. Nobody can undo this.",
    )
    if not yes:
        ask_for_name(site)
    print_keys(leave(home, reason))
    say(
        "next       the coordinator revokes this hospital (not needed in a new consortium), and "
        "invites it",
        f"           collegium silo enrol INVITATION --home {home}",
        f"           collegium silo roster sign --home {home}, or roster trust where others were "
        "there before",
    )


def _print_roster(title: str, roster: "Roster | None", tell: Callable[..., None] = say) -> None:
    from protocol.identity.fingerprints import spoken

    if roster is None:
        tell(f"{title}: none")
        return
    tell(
        f"{title}: roster {roster.version}, valid until {roster.valid_until}",
        f"  {'digest':<20} {spoken(roster.digest)}",
        f"  {'coordinator':<20} {spoken(roster.coordinator.public_key)}",
        f"  {'root':<20} {spoken(str(roster.coordinator.root))}",
    )
    for member in roster.members:
        tell(f"  {member.site:<20} {spoken(member.public_key)}")


def _described(roster: "Roster | None") -> dict[str, Any] | None:
    if roster is None:
        return None
    return {
        "version": roster.version,
        "digest": roster.digest,
        "valid_until": roster.valid_until,
        "coordinator": {
            "public_key": roster.coordinator.public_key,
            "root": roster.coordinator.root,
        },
        "members": {member.site: member.public_key for member in roster.members},
    }


def _typed_roster_digest() -> str:
    return ask(
        "read the safety number with every other hospital to it by phone (collegium silo roster "
        "compare), then type the roster's whole digest"
    )
