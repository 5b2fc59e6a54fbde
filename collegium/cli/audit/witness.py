"""``collegium audit witness``: a witness outside the consortium, for whoever wants to be one."""

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from collegium.cli.options import AsJson
from collegium.extras import needs
from collegium.output.console import answer, emit, say

app = typer.Typer(help="A witness outside the consortium.", no_args_is_help=True)
Home = Annotated[Path, typer.Option("--home", help="The witness's own folder.")]
DEFAULT_PORT = 8480


@app.command("init")
def init(
    home: Home,
    name: Annotated[
        str,
        typer.Option("--name", help="As an address without scheme: witness.example.org/ethics."),
    ],
    as_json: AsJson = False,
) -> None:
    """Makes the folder, with two new keys: Ed25519 and ML-DSA-44."""
    from compliance.audit.witness import make_folder

    folder = make_folder(home, name)
    keys = [cosigner.key.text for cosigner in folder.cosigners]
    say(f"made   {home}; its keys, for the consortium's policy:")
    for number, key in enumerate(keys, start=1):
        say(f"  witness {_short(name)}{number} {key} https://...")
    emit({"home": str(home), "name": name, "keys": keys}, as_json)


@app.command("trust")
def trust(
    home: Home,
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="The log's key, as the consortium's policy has it.")
    ],
    as_json: AsJson = False,
) -> None:
    """Watches one more log; takes effect at the next start."""
    from compliance.audit.witness import add_log, open_folder

    folder = add_log(open_folder(home), key)
    say(f"watches  {', '.join(log.name for log in folder.logs)}")
    emit({"logs": [log.text for log in folder.logs]}, as_json)


@app.command("show")
def show(home: Home, as_json: AsJson = False) -> None:
    """Shows keys, logs, the newest heads, and what contradicted them."""
    from compliance.audit.witness import open_folder

    folder, tell = open_folder(home), answer(as_json)
    state = folder.state
    heads = {log.name: state.newest(log.name) for log in folder.logs}
    contradictions = state.contradictions()
    for cosigner in folder.cosigners:
        tell(f"key    {cosigner.key.text}")
    for log, head in heads.items():
        tell(f"log    {log}: {f'{head.size} entries' if head else 'no head was cosigned yet'}")
    for one in contradictions:
        tell(f"CONTRADICTION  {one.origin}, {one.seen_at}: {one.reason}; both notes:")
        tell(one.cosigned_note.decode())
        tell(one.other_note.decode())
    emit(
        {
            "keys": [cosigner.key.text for cosigner in folder.cosigners],
            "logs": {
                log: None if head is None else {"size": head.size, "root": head.root.hex()}
                for log, head in heads.items()
            },
            "contradictions": [
                {
                    "log": one.origin,
                    "reason": one.reason,
                    "seen_at": one.seen_at,
                    "cosigned": one.cosigned_note.decode(),
                    "other": one.other_note.decode(),
                }
                for one in contradictions
            ],
        },
        as_json,
    )


@app.command("start")
@needs("coordinator")
def start(
    home: Home,
    host: Annotated[str, typer.Option("--host", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="The port to listen on.")] = DEFAULT_PORT,
) -> None:
    """Answers add-checkpoint until stopped.

    Behind a proxy that holds a certificate: what it answers is signed in any case.
    """
    from compliance.audit.witness import open_folder, serving

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with serving(open_folder(home).service, host, port) as bound:
        say(f"serving  http://{host}:{bound}/add-checkpoint  (Ctrl-C ends it)")
        ended.wait()
    say("ended")


def _short(name: str) -> str:
    return name.rpartition("/")[2] or name
