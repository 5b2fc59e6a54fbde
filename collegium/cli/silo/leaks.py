"""``collegium silo leak-check``: what a run's model gives away of this hospital's patients."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collegium.cli.options import AsJson
from collegium.cli.silo.options import Home
from collegium.output.console import answer, emit, say

if TYPE_CHECKING:
    from silos.results.leak_check import LeakCheck

app = typer.Typer()


@app.command("leak-check")
def leak_check(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run, or its beginning.")],
    home: Home,
    largest_advantage: Annotated[
        float | None,
        typer.Option("--largest-advantage", help="Of an attack on membership. Default: a gate's."),
    ] = None,
    largest_exposure: Annotated[
        float | None,
        typer.Option("--largest-exposure", help="Of records, in bits. Default: a gate's."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Attacks a run's model on this hospital's own patients.

    Training patients are told from test patients, here alone. The figures are exact and must not
    leave; the command ends with 1 where one is shown to lie above its limit.
    """
    from compliance.governance.models.gates import GateRules
    from silos.results.leak_check import STAYS_HERE, check_leaks

    usual = GateRules()  # as a model's that was founded without thresholds of its own
    say("attacking the model on this hospital's own patients; nothing leaves")
    if largest_advantage is None:
        largest_advantage = usual.largest_advantage
    if largest_exposure is None:
        largest_exposure = usual.largest_exposure
    found = check_leaks(
        home, run, largest_advantage=largest_advantage, largest_exposure=largest_exposure
    )
    answer(as_json)(*_lines(found), STAYS_HERE)
    emit(found.to_json(), as_json)
    if found.above:
        raise typer.Exit(1)


def _lines(check: "LeakCheck") -> Iterator[str]:
    found = check.found
    yield (
        f"run        {check.run_id}: {found['training_patients']} training patients beside "
        f"{found['test_patients']} test patients"
    )
    for one in found["membership"].values():
        yield (
            f"membership {one['attack']:<5} advantage {_told(one['advantage'])}, AUROC "
            f"{_told(one['auroc'])}, {_told(one['true_alarms_at_1_percent'])} found at 1 % false "
            "alarms"
        )
    exposure = found["extraction"]
    if exposure is None:
        yield "extraction not tried: too few test patients"
    else:
        yield (
            f"extraction {exposure['bits']:.2f} bits of a training patient's record, "
            f"{exposure['usual']:.2f} of a test patient's: {_told(exposure['excess'])} more"
        )
    if check.above:
        yield from (f"ABOVE      {one}" for one in check.above)
        yield "           you may refuse to serve this model: no reason has to be given"
    else:
        yield "           nothing is shown to lie above its limit; that proves nothing more"


def _told(one: dict[str, Any]) -> str:
    return f"{one['value']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"
