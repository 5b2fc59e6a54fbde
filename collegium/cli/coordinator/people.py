"""``collegium people``: who may do what in a consortium, by their own keys."""

import json
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collegium.cli.coordinator import accounts
from collegium.cli.coordinator.persons import (
    As,
    Home,
    new_key_file,
    new_passphrase,
    perform_as,
    read_key_file,
)
from collegium.cli.options import AsJson
from collegium.output.console import answer, emit, say

if TYPE_CHECKING:
    from coordinator.views.governance import GovernanceView, RecordedAct

app = typer.Typer(
    help="People of a consortium: keys, roles, acts, changes by two.", no_args_is_help=True
)
app.add_typer(accounts.app, name="account")
Name = Annotated[str, typer.Argument(metavar="NAME", help="A person's name.")]
Number = Annotated[int, typer.Argument(metavar="NUMBER", help="A change's number.")]
Roles = Annotated[
    list[str],
    typer.Option(
        "--role",
        help="lead, data-scientist, compliance-officer, auditor or administrator; repeatable.",
    ),
]
Days = Annotated[int, typer.Option("--days", help="For how long the key is good.")]


@app.command()
def key(
    to: Annotated[Path, typer.Option("--to", help="The new file, for its owner alone.")],
    no_passphrase: Annotated[
        bool, typer.Option("--no-passphrase", help="The file alone acts in your name.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Makes a person's key. Its public half is what others register."""
    public = new_key_file(to, passphrase=None if no_passphrase else new_passphrase())
    say(f"made       {to}: keep it to yourself", f"public     {public}")
    emit({"file": str(to), "public_key": public}, as_json)


@app.command()
def found(
    name: Name,
    home: Home,
    as_key: As = None,
    days: Days = 365,
    as_json: AsJson = False,
) -> None:
    """Registers the first administrator. Then every act needs a person."""
    from compliance.governance.people import plain_name
    from protocol.errors import PolicyRefused

    if as_key is None:
        raise PolicyRefused("the first administrator signs with their own key: --as KEYFILE")
    public, plain = read_key_file(as_key).public.hex(), plain_name(name)
    told = perform_as(
        home,
        as_key,
        "person.found",
        ("person", plain),
        {"key": public, "roles": ("administrator",), "days": days},
    )
    say(
        f"registered {plain}: administrator. Every act needs a person from now on",
        "next       two people are needed to add others; until there are two, only this person "
        "adds one: see docs/governance.md",
    )
    emit(told, as_json)


@app.command()
def propose(
    name: Name,
    home: Home,
    public: Annotated[str, typer.Option("--key", help="The person's public key, 64 digits.")],
    role: Roles,
    as_key: As = None,
    days: Days = 365,
    as_json: AsJson = False,
) -> None:
    """Proposes a person, or a new key for one. A second person confirms."""
    details = {"key": public, "roles": tuple(role), "days": days}
    told = perform_as(home, as_key, "person.add", ("person", name), details)
    if not told["waits"]:  # of the only administrator
        say(f"registered {name}: {', '.join(role)}; nobody else is here to confirm it")
    emit(told, as_json)


@app.command()
def roles(name: Name, home: Home, role: Roles, as_key: As = None, as_json: AsJson = False) -> None:
    """Proposes other roles for a person. It also ends a suspension."""
    told = perform_as(home, as_key, "person.roles", ("person", name), {"roles": tuple(role)})
    emit(told, as_json)


@app.command()
def retire(name: Name, home: Home, as_key: As = None, as_json: AsJson = False) -> None:
    """Proposes that a person acts no longer. At once: incident contain."""
    emit(perform_as(home, as_key, "person.retire", ("person", name)), as_json)


@app.command()
def confirm(
    number: Number,
    home: Home,
    as_key: As = None,
    to: Annotated[
        Path | None, typer.Option("--to", help="For an invitation: the file to write.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Confirms a change that another person proposed. It is done at once."""
    from collegium.cli.coordinator.members import invitation_file, tell_invitation
    from protocol.errors import PolicyRefused

    waiting = {one.number: one for one in _view(home).changes}
    if number not in waiting:
        raise PolicyRefused(f"no change {number} waits: collegium people list --home {home}")
    change = waiting[number]
    request = change.change.request
    say(f"confirms   {_change_text(request.to_json())}, proposed by {change.change.proposed_by}")
    details = {"digest": change.digest}
    if request.action == "hospital.invite":
        with invitation_file(to or Path(f"{request.subject}.invitation")) as (file, handle):
            told = perform_as(home, as_key, "change.confirm", ("change", str(number)), details)
            handle.write(told.pop("invitation").encode())
        tell_invitation(home, file, told)
    else:
        told = perform_as(home, as_key, "change.confirm", ("change", str(number)), details)
        say(f"done       change {number}")
    emit(told, as_json)


@app.command()
def withdraw(number: Number, home: Home, as_key: As = None, as_json: AsJson = False) -> None:
    """Withdraws a change that waits for its second person."""
    told = perform_as(home, as_key, "change.withdraw", ("change", str(number)))
    say(f"withdrawn  change {number}")
    emit(told, as_json)


@app.command("list")
def list_people(
    home: Home,
    everything: Annotated[
        bool, typer.Option("--all", help="Also former records, and decided changes.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Lists people and roles. Also the changes that wait for a second person."""
    from compliance.governance.two_person import ChangeState

    view, tell = _view(home, decided=everything), answer(as_json)
    if view.notice:
        tell(view.notice)
    for person in (*view.people, *(view.former if everything else ())):
        state = f"until {person.until}" if person.until else f"key good until {person.expires[:10]}"
        if person.suspended:
            state += f", SUSPENDED since {person.suspended}"
        tell(f"{person.name:<28} {', '.join(sorted(person.roles))}; {state}")
        tell(f"  {'key':<26} {person.public_key}")
    for one in view.changes:
        request = _change_text(one.change.request.to_json())
        state = str(one.state)
        if one.state is ChangeState.PROPOSED:
            state = f"waits for a second person until {one.change.expires[:16]}Z"
        state += f", proposed by {one.change.proposed_by}"
        tell(f"change {one.number}: {request}; {state}")
    emit(_listed(view, everything), as_json)


@app.command()
def acts(
    home: Home,
    person: Annotated[str | None, typer.Option("--person", help="Of this person only.")] = None,
    run: Annotated[str | None, typer.Option("--run", help="About this run only.")] = None,
    since: Annotated[str | None, typer.Option("--since", help="From this day on.")] = None,
    as_json: AsJson = False,
) -> None:
    """Lists who did what and when, and what was refused."""
    from coordinator.views.views import open_views

    with closing(open_views(home)) as views:
        notice = views.governance().notice
        done = views.acts(person=person, run=run, since=since)
    tell = answer(as_json)
    if notice:
        tell(notice)
    for act in done:
        tell(_act_text(act))
    if not done and not notice:
        tell("nobody did anything")
    emit([act.to_json() for act in done], as_json)


@app.command()
def review(
    home: Home,
    sign: Annotated[
        bool, typer.Option("--sign", help="Keeps that you have reviewed it, today.")
    ] = False,
    note: Annotated[str, typer.Option("--note", help="What you found and asked for.")] = "",
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Shows who has which right and uses it. With --sign the review is kept."""
    view, tell = _view(home), answer(as_json)
    if view.notice:
        tell(view.notice)
    for line in view.review.lines:
        tell(f"{line.name:<28} {', '.join(line.roles)}; last act {line.last_act or 'none'}")
        for remark in line.notes:
            tell(f"  ! {remark}")
    for remark in view.review.notes:
        tell(f"! {remark}")
    if view.reviewed_at:
        tell(f"last reviewed {view.reviewed_at} by {view.reviewed_by}")
    told: dict[str, Any] = {}
    if sign:
        details = {"digest": view.review.digest, "note": note}
        subject = ("policy", f"version {view.policy.version}")
        told = perform_as(home, as_key, "access.review", subject, details)
        say("kept       the review, as an act")
    emit(view.review.to_json() | {"signed": told or None}, as_json)


@app.command()
def policy(home: Home, as_json: AsJson = False) -> None:
    """Shows the access policy. Which role may do what, alone or by two."""
    view, tell = _view(home), answer(as_json)
    tell(f"version {view.policy.version}, digest {view.policy.digest}")
    for name, right in sorted(view.policy.rights.items()):
        second = f"; confirmed by {', '.join(sorted(right.second))}" if right.second else ""
        tell(f"{name:<20} {right.what}: {', '.join(sorted(right.roles))}{second}")
    emit(view.policy.to_json(), as_json)


@app.command("change-policy")
def change_policy(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As policy --json shows it.")],
    home: Home,
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Proposes another access policy. A second person confirms."""
    from compliance.governance.people import read_access_policy
    from protocol.encoding import canonical
    from protocol.errors import WorkspaceRefused

    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorkspaceRefused(f"{file} cannot be read as JSON: {error}") from error
    wanted = read_access_policy(said)
    text = canonical(wanted.to_json()).decode()
    subject = ("policy", f"version {wanted.version}")
    emit(perform_as(home, as_key, "policy.change", subject, {"policy": text}), as_json)


def _view(home: Path, *, decided: bool = False) -> "GovernanceView":
    from coordinator.views.views import open_views

    with closing(open_views(home)) as views:
        return views.governance(decided=decided)


def _listed(view: "GovernanceView", everything: bool) -> dict[str, Any]:
    shown = (*view.people, *(view.former if everything else ()))
    return {
        "governed": view.governed,
        "people": [person.to_json() for person in shown],
        "changes": [one.to_json() for one in view.changes],
    }


def _change_text(request: dict[str, Any]) -> str:
    """Returns what a change asks for, in a line; a key in full, for it is what is compared."""
    said = ", ".join(f"{name} {_value(value)}" for name, value in request["details"].items())
    return f"{request['action']} {request['subject']}" + (f" ({said})" if said else "")


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " and ".join(value)
    text = str(value)
    return text if len(text) <= 200 else f"{text[:60]}... of {len(text)} letters"


def _act_text(act: "RecordedAct") -> str:
    role = f" ({act.role})" if act.role else ""
    came = act.outcome if act.reason is None else f"{act.outcome}: {act.reason}"
    return f"{act.at[:19]}  {act.person}{role}  {act.action} {act.subject}  {came}"
