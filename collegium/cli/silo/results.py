"""``collegium silo results``: what came back to this hospital, and what it is worth here."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from collegium.output.console import answers, emit, say
from compliance.facts.figures import figure_kind
from protocol.counted import counted

if TYPE_CHECKING:
    from silos.results.run_results import OwnResults

app = typer.Typer()


@app.command()
def results(
    home: Annotated[Path, typer.Option("--home", help="The hospital's folder.")],
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="One run; all of them when left out.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", help="Keeps this file, if it is the run's final model."),
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(help="Trains the network here alone, and compares on our test patients."),
    ] = True,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Write a page about RUN with drawings; it stays here."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")] = False,
) -> None:
    """Shows what came back from the runs: models and released figures.

    With RUN, the model is compared with one that is trained here without the others, on
    this hospital's own test patients. Those figures are exact and must not leave.
    """
    from protocol.errors import WorkspaceRefused
    from silos.results.run_results import (
        NOT_PRIVATE,
        compare_with_own,
        list_results,
        results_of,
        take_model,
    )

    screen = answers(as_json)
    if run is None:
        if model is not None:
            raise WorkspaceRefused("--model: name the run that the file is the model of")
        if html is not None:
            raise WorkspaceRefused("--html: name the run that the page is to be about")
        found = list_results(home)
        screen.print(_table(found) if found else "no run was asked for yet")
        emit([one.to_json() for one in found], as_json)
        return
    one = results_of(home, run) if model is None else take_model(home, run, model)
    for line in _lines(one):
        screen.print(line, markup=False, soft_wrap=True)
    told, compared = one.to_json(), None
    if compare and one.model_file is not None:
        say("training the same network on this hospital's own patients; nothing leaves")
        compared = compare_with_own(home, one.run_id)
        for line in (*_compared(compared), NOT_PRIVATE):
            screen.print(line, markup=False, soft_wrap=True)
        told |= {"comparison": compared | {"note": NOT_PRIVATE}}
    if html is not None:
        _write_page(html, home, one, compared)
    emit(told, as_json)


def _write_page(to: Path, home: Path, found: "OwnResults", compared: dict[str, Any] | None) -> None:
    """Writes the hospital's own page about a run, for its owner alone."""
    from collegium.reports.report_files import write_own_page
    from compliance.storage.clock import utc_now
    from silos.config.directory import reading
    from silos.results.results_page import results_page

    with reading(home) as (site, _):
        page = results_page(site.name, found, compared, at=f"{utc_now():%Y-%m-%d %H:%M} UTC")
    write_own_page(to, page)
    say(f"wrote {to}: it stays in this hospital, and you alone may read it")


def _table(found: "Sequence[OwnResults]") -> Table:
    table = Table(box=None, padding=(0, 2), show_edge=False)
    for heading in ("run", "study", "state", "model", "released"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "run")
    for one in found:
        cells = (
            one.run_id,
            one.study or one.study_digest[:16],
            one.state,
            one.model[:16] if one.model else "none here",
            _headline(one),
        )
        table.add_row(*map(Text, cells))
    return table


def _lines(one: "OwnResults") -> Iterator[str]:
    yield f"run       {one.run_id}, {one.study or one.study_digest[:16]}: {one.state}"
    yield f"model     {one.model_file or 'none'}"
    if one.model is not None:
        yield f"          digest {one.model}"
    yield f"          {one.about_model}"
    if one.personalised_file is not None:
        yield f"own model {one.personalised_file}"
    yield f"cohort    {one.about_cohort}"
    yield f"released  {_released(one)}"
    yield f"          {one.about_figures}"


def _compared(found: dict[str, Any]) -> Iterator[str]:
    from silos.results.results_page import DIFFERENCES, MODELS, training, verdict

    yield (
        f"here      on our {counted(found['test_patients'], 'test patient')}"
        f"{_positive(found['test_positive'])}, with 95 % intervals:"
    )
    width = max(len(words) for name, words in MODELS.items() if name in found)
    for name, words in MODELS.items():
        if name not in found:
            continue
        reached = {key: value for key, value in found[name].items() if key != "trained"}
        said = (f"{figure_kind(key).title} {_figure(value)}" for key, value in reached.items())
        yield f"          {words:{width}} {', '.join(said)}"
    title = figure_kind(found["headline"]).title
    for name, (words, *_) in DIFFERENCES.items():
        if name in found:
            difference = f"{title} {_figure(found[name], '+.3f')}"
            yield f"          {words}, {difference} ({verdict(found[name], name)})"
    yield f"          local model: {training(found['own']['trained'])}"


def _positive(count: int | None) -> str:
    return "" if count is None else f", {count} of them positive"


def _figure(figure: dict[str, float | None], form: str = ".3f") -> str:
    value, low, high = figure["value"], figure["low"], figure["high"]
    if value is None:
        return "not available"
    if low is None or high is None:
        return f"{value:{form}} (too few test patients for an interval)"
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


def _headline(one: "OwnResults") -> str:
    return _released(one).partition("; ")[0]


def _released(one: "OwnResults") -> str:
    """Returns the figures that the coordinator signed, by their titles."""
    if one.announced is None:
        return "not known here"
    said = []
    for figure in one.figures:
        found = figure.to_interval()
        said.append(f"{figure_kind(figure.name).title} {found['note'] or _figure(found)}")
    return "; ".join(said)
