"""``collegium infer``: a hospital's records scored by a released model, and the log of queries."""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from collegium.cli.options import AsJson, Key
from collegium.extras import needs
from collegium.output.console import answer, complain, emit, say
from protocol.counted import counted

if TYPE_CHECKING:
    from collegium.models.inference.scoring_place import ScoringPlace

_SCORE = "score"


class ScoreByDefault(TyperGroup):
    """A group of commands in which what names no command is scored."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Returns the arguments, ``score`` put before what names no command."""
        if args and args[0] not in {*self.commands, "-h", "--help"}:
            args = [_SCORE, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=ScoreByDefault,
    help="Scores your own records with a released model.",
    no_args_is_help=True,
)
Home = Annotated[
    Path | None,
    typer.Option("--home", metavar="HOSPITAL", help="Your hospital's folder; it keeps the log."),
]
OwnHome = Annotated[Path, typer.Option("--home", metavar="HOSPITAL", help="The hospital's folder.")]
Run = Annotated[
    str | None,
    typer.Option("--run", help="A run whose final model the hospital keeps, in MODEL's place."),
]
Own = Annotated[
    bool, typer.Option("--own", help="The hospital's own model of the run (personalised).")
]
Tokens = Annotated[
    Path | None,
    typer.Option("--tokens", metavar="FILE", help="Default: inference/tokens in the folder."),
]


@app.command(_SCORE)
@needs("silo")
def score(
    named: Annotated[
        list[Path],
        typer.Argument(
            metavar="MODEL RECORDS",
            help="An exported folder, and a table (CSV, Excel, Parquet) or a folder of images. "
            "With --run the records alone.",
        ),
    ],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The table of scores (CSV).")],
    home: Home = None,
    run: Run = None,
    own: Own = False,
    table: Annotated[
        Path | None,
        typer.Option("--table", help="Of images: the table of them. Default: records.csv there."),
    ] = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Scores a table or images. Records that do not fit are listed with the reason."""
    from collegium.models.inference.batch import score_records
    from protocol.errors import PolicyRefused

    expected = 1 if run else 2
    if len(named) != expected:
        raise PolicyRefused(
            "name the model's folder and the records: collegium infer MODEL RECORDS --to FILE; "
            "with --home HOSPITAL --run RUN the records alone"
        )
    folder, records = (None, named[0]) if run else (named[0], named[1])
    place = _place(folder, home, run, own, key)
    done = score_records(place, records, to, table, caller=f"batch of {getpass.getuser()}")
    say(f"model      {done.model[:16]}, run {place.model.run}: {done.vouched}")
    say(f"scored     {counted(done.records, 'record')} into {done.table}, with {done.header}")
    if done.refused:
        say(f"not scored {counted(done.refused, 'record')}: column fault says why")
    if not done.is_logged:
        say("not logged: without --home there is no log of queries and no alarm by volume")
    if done.alarms:
        complain(f"ALARM: this looks like extraction of the model ({', '.join(done.alarms)})")
    emit(done.to_json(), as_json)


@app.command()
@needs("silo", "coordinator")
def serve(
    home: OwnHome,
    model: Annotated[
        Path | None, typer.Argument(metavar="[MODEL]", help="An exported folder.")
    ] = None,
    run: Run = None,
    own: Own = False,
    tokens: Tokens = None,
    address: Annotated[str, typer.Option("--address", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="The port to listen on.")] = 8600,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="PEM; needed beyond this machine.")
    ] = None,
    private_key: Annotated[
        Path | None, typer.Option("--private-key", help="PEM; the certificate's.")
    ] = None,
    key: Key = None,
    expect: Annotated[
        Path | None,
        typer.Option(
            "--expect",
            metavar="PROOF",
            help="What the hospital is to serve: the proof of collegium models served.",
        ),
    ] = None,
    log_key: Annotated[
        str | None, typer.Option("--log-key", help="Of --expect: the log's public key, trusted.")
    ] = None,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Serve also another model than --expect names.")
    ] = False,
) -> None:
    """Scores over HTTP: POST /score, GET /model, GET /healthz."""
    from collegium.models.inference.expected import require_expected
    from collegium.models.inference.serving import ServicePlace, server_of
    from collegium.models.inference.serving import serve as serve_until_ended
    from collegium.verification.inputs import read_key
    from protocol.errors import PolicyRefused

    where = ServicePlace(address=address, port=port, certificate=certificate, key=private_key)
    place = _place(model, home, run, own, key)
    if (expect is None) != (log_key is None):
        raise PolicyRefused("--expect and --log-key go together")
    if expect is not None and log_key is not None:
        fault = require_expected(place, expect, read_key(log_key), anyway=anyway)
        if fault is not None:
            complain(f"WARNING: {fault}. It is served all the same (--anyway)")
    server = server_of(place, where, tokens or _tokens(home), complain)
    scheme = "http" if certificate is None else "https"
    say(f"model      {place.model.digest[:16]}, run {place.model.run}: {place.model.vouched}")
    say(f"serving    {scheme}://{address}:{port}/score")
    serve_until_ended(place, server)


@app.command()
def token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who gets it: ward-3, triage.")],
    home: OwnHome,
    tokens: Tokens = None,
    as_json: AsJson = False,
) -> None:
    """Makes a token for the service. It is shown once."""
    from collegium.models.inference.access_tokens import add_token

    path = tokens or _tokens(home)
    made = add_token(path, name)
    answer(as_json)(made)
    say(f"for        {name}; its digest is in {path}. The token is not kept; one before it is void")
    emit({"name": name, "token": made, "file": str(path)}, as_json)


@app.command()
def log(
    home: OwnHome,
    alarms: Annotated[bool, typer.Option("--alarms", help="Only what set off an alarm.")] = False,
    head: Annotated[
        str | None, typer.Option("--head", help="A head that you kept: it must be in the log.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Shows the log of queries, checked line by line. Keep its head elsewhere."""
    from dataclasses import asdict

    from silos.config.folder import require_hospital
    from silos.results.inference.query_log import QueryLog

    require_hospital(home)
    kept = QueryLog(home)
    found = kept.entries()
    if head is not None:
        kept.require_head(head)
    tell = answer(as_json)
    shown = [one for one in found if one.alarms or not alarms]
    for one in shown:
        more = f", {counted(one.refused, 'record')} not scored" if one.refused else ""
        said = f"  ALARM {', '.join(one.alarms)}" if one.alarms else ""
        scored = counted(one.records, "record")
        tell(f"{one.time}  {one.caller}: {scored}{more}, model {one.model[:12]}{said}")
    if not shown:
        tell("no query set off an alarm" if found else "no query was logged yet")
    tell(f"head {kept.head}")
    emit({"entries": [asdict(one) for one in shown], "head": kept.head}, as_json)


def _tokens(home: Path) -> Path:
    return home / "inference" / "tokens"


def _place(
    folder: Path | None, home: Path | None, run: str | None, own: bool, key: str | None
) -> "ScoringPlace":
    from collegium.models.inference.scoring_place import ModelPlace, scoring_place
    from collegium.verification.inputs import read_key

    trusted = None if key is None else read_key(key)
    return scoring_place(ModelPlace(folder=folder, home=home, run=run, own=own, key=trusted))
