"""``collegium reproduce``: a run is made or computed again, and compared with what it came to."""

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collegium.cli.options import AsJson, Data, Records, Run
from collegium.output.console import answer, console, emit, say
from protocol.errors import MessageRefused
from silos.config.folder import is_hospital

if TYPE_CHECKING:
    from collegium.models.reproduction import ReproductionAnswer

app = typer.Typer()
#: Where what is run again stays.
Keep = Annotated[
    Path | None,
    typer.Option("--keep", metavar="FOLDER", help="Keeps what is run again in this folder."),
]
#: A folder whose run is compared instead.
Against = Annotated[
    Path | None,
    typer.Option(
        "--with",
        metavar="FOLDER",
        help="Compares with the newest run of this folder instead of running it again.",
    ),
]


@app.command("reproduce")
def reproduce_run(
    run: Run,
    out: Records = Path("demo-out"),
    data: Data = None,
    beside: Annotated[
        Path | None,
        typer.Option(
            "--beside",
            help="Folder of what lay beside the study document: an index file, parameters, wheels. "
            "Default: the folder of the records.",
        ),
    ] = None,
    keep: Keep = None,
    against: Against = None,
    as_json: AsJson = False,
) -> None:
    """Does a run again, and says whether it comes to the same.

    A simulation is run again; a run of real hospitals is computed again from the masked vectors
    that they sent. The answer is identical, within tolerance, or different: first at a round,
    because of what differs.

    Exit codes: 0 identical or within tolerance; 1 different; 2 something has to be mended first.
    """
    if is_hospital(out):
        raise MessageRefused(
            f"{out} is a hospital's own folder: a coordinator's or a simulation's holds runs to be "
            "reproduced"
        )
    if keep is not None and against is not None:
        raise MessageRefused("--keep and --with: nothing is run again with --with; give one")
    from collegium.models.reproduction import ReproductionPlaces, reproduce
    from collegium.output.progress import on_screen

    places = ReproductionPlaces(out=out, data=data, beside=beside, keep=keep, against=against)
    with redirect_stdout(sys.stderr):  # Ray prints what it likes; stdout is for the answer alone
        found = reproduce(run, places, on_screen(console()), say)
    tell_answer(found, as_json)


def tell_answer(found: "ReproductionAnswer", as_json: bool) -> None:
    """Tells an answer, and ends with the exit code that it has."""
    tell = answer(as_json)
    tell(found.sentence)
    for one in found.compared:
        tell(f"compared      {one}")
    for one in found.not_compared:
        tell(f"not compared  {one}")
    for difference in found.differences:
        tell(f"differs       {difference.text}")
    emit(found.to_json(), as_json)
    if found.kind == "different":
        raise typer.Exit(1)
