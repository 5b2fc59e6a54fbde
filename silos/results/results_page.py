"""The hospital's own page about a run: what came back, and how the model does on its own patients.

Rules:

1. The comparison is exact and not differentially private: the page says so at its head, stays in
   the hospital, and whoever writes it lets its owner alone read.
2. A verdict is what the 95 % interval of the difference allows, and no more.
3. It needs no other file and no network.
"""

from collections.abc import Mapping
from typing import Any

from compliance.charts.intervals import describe_intervals, interval_rows
from compliance.charts.theme import to_svg
from compliance.estimates.interval import Interval
from compliance.facts.figures import figure_kind
from compliance.facts.formatting import Cell, Format
from compliance.reports.document import (
    Block,
    Column,
    Document,
    Fact,
    Facts,
    Figure,
    Paragraph,
    Section,
    Statement,
    Table,
    Tone,
)
from protocol.counted import counted
from silos.results.run_results import NOT_PRIVATE, OwnResults

#: The models that are compared, by their key, and what they are called. The local one was trained
#: here alone; the personalised one is what the run's strategy gave this hospital.
MODELS = {
    "federated": "federated model",
    "own": "local model",
    "personalised": "personalised model",
}
#: What each difference is of, and which model is better above and below zero.
DIFFERENCES = {
    "federated_less_own": (
        "federated less local",
        "the federation helps here",
        "the local model is better here",
    ),
    "personalised_less_federated": (
        "personalised less federated",
        "the personalised model is better here than the federated one",
        "the federated model is better here than the personalised one",
    ),
    "personalised_less_own": (
        "personalised less local",
        "the personalised model is better here than the local one",
        "the local model is better here than the personalised one",
    ),
}


def results_page(
    site: str, results: OwnResults, compared: Mapping[str, Any] | None, *, at: str
) -> Document:
    """Returns the page of one run.

    Args:
        site: the hospital's name.
        results: what came back of the run.
        compared: what the model and one trained here alone reach on this hospital's test patients;
            None where they were not compared.
        at: when it was written, to be told.
    """
    exact = compared is not None
    banner = [_use(results)]
    if exact:
        banner.insert(0, Statement(
            text="This page has exact figures of this hospital's patients. It stays here.",
            detail=NOT_PRIVATE, tone=Tone.BAD,
        ))  # fmt: skip
    sections = [_run(results), _released(results)]
    if compared is not None:
        sections.append(_comparison(compared))
    return Document(
        kind="own-results",
        title=f"Results of a run at {site or 'this hospital'}",
        subtitle=f"Study {results.study or results.study_digest[:16]}, run {results.run_id}, "
        f"written {at}",
        banner=tuple(banner),
        sections=tuple(sections),
        footer=("Written by collegium silo results; nothing of it was sent anywhere.",),
    )


def _use(results: OwnResults) -> Statement:
    """Returns whether the model may be used."""
    good = False if results.is_other_end else results.is_announced_model
    tone = {True: Tone.GOOD, False: Tone.BAD, None: Tone.CAUTION}[good]
    return Statement(text=f"The model: {results.about_model}.", tone=tone)


def _run(results: OwnResults) -> Section:
    own = results.personalised_file
    rows = (
        Fact(label="State", value=results.state),
        Fact(label="Joined", value=results.joined_at, form=Format.TIME),
        Fact(label="Model", value=str(results.model_file or "none")),
        Fact(label="Its digest", value=results.model),
        *(() if own is None else (Fact(label="Personalised model", value=str(own)),)),
        Fact(label="Cohort", value=results.about_cohort),
    )
    return Section(
        key="run", title="The run", blocks=(Facts(title="As it stands here", rows=rows),)
    )


def _released(results: OwnResults) -> Section:
    """Returns the figures of all hospitals' test patients that the coordinator signed."""
    blocks: tuple[Block, ...] = (Paragraph(text="The coordinator has signed no result of it."),)
    if results.announced is not None:
        kinds = [figure_kind(figure.name) for figure in results.figures]
        rows = tuple(
            Fact(label=kind.label, value=Interval(**figure.to_interval()), form=kind.form)
            for kind, figure in zip(kinds, results.figures, strict=True)
        )
        note = f"{results.about_figures[:1].upper()}{results.about_figures[1:]}; with noise."
        blocks = (Facts(title="With 95 % intervals", rows=rows), Paragraph(text=note))
    return Section(key="released", title="Released figures", blocks=blocks)


def _comparison(compared: Mapping[str, Any]) -> Section:
    kinds = [figure_kind(name) for name in compared["federated"] if name != "trained"]
    headline = figure_kind(compared["headline"])
    models = {model: words for model, words in MODELS.items() if model in compared}
    rows = [(words, _interval(compared[model][headline.name])) for model, words in models.items()]
    table = Table(
        title="On this hospital's own test patients, exact",
        columns=(
            Column(title="Model"),
            *(Column(title=kind.label, form=kind.form) for kind in kinds),
        ),
        rows=tuple(
            (words, *_cells(compared[model], [kind.name for kind in kinds]))
            for model, words in models.items()
        ),
    )
    trained = compared["own"]["trained"]
    differences = {name: compared[name] for name in DIFFERENCES if name in compared}
    ill = compared["test_positive"]
    patients = counted(compared["test_patients"], "test patient")
    return Section(
        key="comparison",
        title="On our own patients",
        blocks=(
            Figure(
                title=f"{headline.label} of the models",
                svg=to_svg(interval_rows(rows, headline)),
                alt=describe_intervals(rows, headline),
                caption=f"On our {patients}{'' if ill is None else f', {ill} of them positive'}. "
                "Bars are 95 % intervals, for other patients like these.",
                table=table,
            ),
            Facts(
                title="The differences",
                rows=tuple(
                    Fact(
                        label=f"{headline.label}, {DIFFERENCES[name][0]}",
                        value=_interval(found),
                        form=headline.form,
                    )
                    for name, found in differences.items()
                ),
            ),
            *(
                Paragraph(text=f"{_conclusion(found, name, alone=len(differences) == 1)}.")
                for name, found in differences.items()
            ),
            Paragraph(text=f"Local model: {training(trained)}."),
        ),
    )


def verdict(difference: Mapping[str, float | None], name: str = "federated_less_own") -> str:
    """Returns what a difference with its interval says of the two models.

    >>> verdict({"value": 0.1, "low": 0.02, "high": 0.2})
    'the federation helps here'
    """
    low, high = difference["low"], difference["high"]
    _, above, below = DIFFERENCES[name]
    if low is None or high is None:
        return "too few test patients to say"
    if low <= 0 <= high:
        return "these patients do not tell the two apart"
    return above if low > 0 else below


def _conclusion(difference: Mapping[str, float | None], name: str, *, alone: bool) -> str:
    """Returns a verdict as a sentence, which names the two models where there are several pairs."""
    said = verdict(difference, name)
    told = said if alone else f"{DIFFERENCES[name][0]}: {said}"
    return told[:1].upper() + told[1:]


def training(trained: Mapping[str, Any]) -> str:
    """Returns how the local model was trained."""
    return (
        f"the same network, on our {trained['patients']} training patients alone, without noise "
        f"(Adam, learning rate {trained['learning_rate']:g}, {trained['epochs']} passes, chosen on "
        "a fifth of them)"
    )


def _interval(found: Mapping[str, float | None]) -> Interval:
    return Interval(value=found["value"], low=found["low"], high=found["high"])


def _cells(found: Mapping[str, Any], names: list[str]) -> list[Cell]:
    return [_interval(found[name]) for name in names]
