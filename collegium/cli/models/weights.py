"""``collegium weights``: released models encrypted for named recipients."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collegium.cli.coordinator.persons import As, read_key_file
from collegium.cli.options import AsJson, Folder, Key
from collegium.extras import needs
from collegium.output.console import answer, emit, say
from protocol.errors import PolicyRefused

if TYPE_CHECKING:
    from collegium.models.weights_places import WeightsPlace

app = typer.Typer(help="Released models, encrypted for named recipients.", no_args_is_help=True)
Model = Annotated[str, typer.Argument(metavar="MODEL", help="The beginning of a model's digest.")]
IdentityFile = Annotated[
    Path, typer.Option("--identity", metavar="FILE", help="A recipient's own identity (age).")
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out", "--home", help="The folder of runs: a simulation's, a coordinator's, a hospital's."
    ),
]
Copy = Annotated[
    Path | None,
    typer.Option("--copy", metavar="FOLDER", help="Files that were handed over; with --key."),
]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stands in the record.")]


@app.command()
def keygen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The new identity's file.")],
    as_json: AsJson = False,
) -> None:
    """Makes an identity. Its public half is given away."""
    from compliance.storage.encryption.age_keys import new_identity_file

    key = new_identity_file(file)
    answer(as_json)(f"recipient  {key}")
    say(
        f"secret     {file}: only who has it opens what is encrypted for {key[:16]}...; keep a copy"
    )
    emit({"file": str(file), "recipient": key}, as_json)


@app.command()
@needs("weights")
def seal(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A run, whose final model is meant; or a file.")
    ],
    out: Folder,
    to: Annotated[
        list[str],
        typer.Option("--to", metavar="NAME=RECIPIENT", help="Who may open it; repeatable."),
    ],
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Encrypts a released model for recipients, into OUT/weights."""
    from collegium.models.weights import seal as sealed

    told = sealed(_decided_in(out, as_key), model, to)
    answer(as_json)(
        f"encrypted  {told['model'][:16]} for {', '.join(told['recipients'])}",
        f"files      {told['header']}, {told['payload']}: in a row an age file; {told['record']}",
    )
    emit(told, as_json)


@app.command("list")
def list_models(
    model: Annotated[
        str, typer.Argument(metavar="[MODEL]", help="One model: with who opened it.")
    ] = "",
    out: Out = None,
    copy: Copy = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Lists encrypted models. Says who may open them and who did."""
    from collegium.models.weights import listing

    found = listing(_place(out, copy, key), model)
    tell = answer(as_json)
    for one in found:
        size = f"{one['payload_bytes'] / 1e6:.1f} MB"
        tell(f"{one['model'][:16]}  {one['state']}, generation {one['generation']}, {size}")
        for person in one["recipients"]:
            until = f" until {person['until']}: {person['reason']}" if person["until"] else ""
            tell(f"  {person['state']:8} {person['name']}, since {person['since']}{until}")
        for event in one["events"] if model else []:
            who = event["by"] or event["recipient"] or ""
            tell(f"  {event['at']} {event['kind']} {who} {event['reason']}".rstrip())
    if not found:
        say("no encrypted model here: collegium weights seal")
    emit(found, as_json)


@app.command()
def rewrap(
    model: Model,
    out: Folder,
    identity: IdentityFile,
    add: Annotated[
        list[str] | None,
        typer.Option("--add", metavar="NAME=RECIPIENT", help="Who comes; repeatable."),
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="NAME", help="Who leaves; repeatable.")
    ] = None,
    reason: Reason = "",
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Changes who may open a model, by its header alone. An old copy stays readable."""
    from collegium.models.weights import rewrap as rewrapped

    place = _decided_in(out, as_key)
    told = rewrapped(place, model, identity, add or (), remove or (), reason)
    names = ", ".join(told["recipients"])
    answer(as_json)(f"re-wrapped {told['model'][:16]} for {names}: generation {told['generation']}")
    if remove:
        say(
            f"{', '.join(remove)} cannot open the files as they are now. A copy from before, its "
            "header with the payload, stays readable for them, and so does what they opened"
        )
    emit(told, as_json)


@app.command()
def retire(
    model: Model,
    out: Folder,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stands in the record.")],
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Ends the use of an encrypted model: its header is removed. A second person confirms."""
    from collegium.models.weights import retire as retired

    told = retired(_decided_in(out, as_key), model, reason)
    if told["waits"]:
        say(
            f"proposed   change {told['change']}: nothing is done yet; another person confirms it "
            f"(collegium people confirm {told['change']} --home {out})"
        )
    else:
        answer(as_json)(f"retired    {told['model'][:16]}: its header is removed, the record stays")
    emit(told, as_json)


@app.command("open")
@needs("weights")
def open_model(
    model: Model,
    identity: IdentityFile,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The plain model's new file.")],
    out: Out = None,
    copy: Copy = None,
    key: Key = None,
    at_least: Annotated[
        int,
        typer.Option(
            "--at-least", min=1, help="The generation you know of; an older state is refused."
        ),
    ] = 1,
    as_key: As = None,
    as_json: AsJson = False,
) -> None:
    """Decrypts a model into a new file, after every check. It is written down, refused or not."""
    from collegium.models.weights import open_weights

    told = open_weights(_place(out, copy, key, as_key), model, identity, to, at_least)
    answer(as_json)(f"opened     {told['model'][:16]} into {to}, readable by its owner alone")
    emit(told, as_json)


def _decided_in(out: Path, as_key: Path | None) -> "WeightsPlace":
    """Returns the folder in which somebody decides about encrypted models."""
    from collegium.models.weights_places import place_of

    return place_of(out, None if as_key is None else read_key_file(as_key))


def _place(
    out: Path | None, copy: Path | None, key: str | None, as_key: Path | None = None
) -> "WeightsPlace":
    """Returns the folder of runs, or the copy, that was named.

    Raises:
        PolicyRefused: not one of the two is, or nobody says whose signature counts.
    """
    from collegium.models.weights_places import CopiedWeights
    from collegium.verification.inputs import read_key

    if (out is None) == (copy is None):
        raise PolicyRefused("name a folder of runs (--out), or files that you were given (--copy)")
    if copy is None and out is not None:
        return _decided_in(out, as_key)
    if key is None:
        raise PolicyRefused(
            "--key is the public key of whoever sealed the model: without it nobody's signature "
            "counts (OUT/coordinator.pub, or collegium silo key show)"
        )
    return CopiedWeights(copy or Path(), read_key(key))
