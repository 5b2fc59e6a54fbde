"""The page of a comparison of strategies: a chart, a table, and what may be concluded."""

from compliance.charts.intervals import describe_intervals, interval_rows
from compliance.charts.theme import Chart, to_svg
from compliance.estimates.interval import Interval
from compliance.facts.comparison.strategies import ComparisonFindings, StrategyFigures
from compliance.facts.formatting import Cell, Format, show
from compliance.reports.document import (
    Column,
    Document,
    Figure,
    Paragraph,
    Section,
    Statement,
    Table,
    Tone,
)

EXACT = (
    "All records lie on this machine and every figure is exact: nothing of this page is "
    "differentially private, and no consortium of real hospitals could make it."
)
READING = (
    "A strategy is better than the first one where the interval of its lead leaves out 0. Of many "
    "that do not differ, one in twenty does so by chance. Intervals are of other patients like "
    "these and of other seeds; not of other settings: keys that suit one strategy may not suit "
    "another, and keys that were chosen on these test patients make a figure too good."
)


def strategies_page(findings: ComparisonFindings) -> Document:
    """Returns the page of a comparison."""
    study, kind = findings.study, findings.headline
    return Document(
        kind="comparison",
        title="Strategies compared",
        subtitle=f"{study.title}, study {study.digest}",
        banner=(
            Statement(text="A simulation. Exact figures.", detail=EXACT, tone=Tone.CAUTION),
            Statement(text=conclusion(findings), detail=READING),
        ),
        sections=(
            Section(
                key="everybody",
                title="On all hospitals' test patients",
                blocks=(
                    Figure(
                        title=f"{kind.label} by strategy",
                        svg=to_svg(strategies_chart(findings)),
                        alt=describe_intervals(_rows(findings), kind),
                        caption=seeds_sentence(findings),
                        table=strategies_table(findings),
                    ),
                ),
            ),
            Section(
                key="hospitals",
                title="On each hospital's test patients",
                blocks=(hospitals_table(findings), Paragraph(text=own_models_sentence(findings))),
            ),
        ),
        footer=("Written by collegium compare.",),
    )


def strategies_chart(findings: ComparisonFindings) -> Chart:
    """Returns each strategy's figure on all test patients with its interval."""
    return interval_rows(_rows(findings), findings.headline)


def _rows(findings: ComparisonFindings) -> list[tuple[str, Interval]]:
    return [(one.name, one.everybody) for one in findings.strategies]


def conclusion(findings: ComparisonFindings) -> str:
    """Returns which strategies are better or worse than the first, and by how much."""
    first = findings.strategies[0].name
    better, worse = [], []
    for one in findings.strategies[1:]:
        lead = one.lead
        if lead is None or lead.low is None or lead.high is None:
            continue
        said = f"{one.name}, lead {show(lead, findings.headline.form)}"
        if lead.low > 0:
            better.append(said)
        elif lead.high < 0:
            worse.append(said)
    if not better and not worse:
        return f"No difference from {first} is shown."
    told = [f"better than {first}: {' and '.join(better)}"] if better else []
    told += [f"worse than {first}: {' and '.join(worse)}"] if worse else []
    sentence = "; ".join(told)
    return f"{sentence[0].upper()}{sentence[1:]}."


def seeds_sentence(findings: ComparisonFindings) -> str:
    """Returns how often each strategy was trained."""
    told = ", ".join(str(seed) for seed in findings.seeds)
    return f"Means over {len(findings.seeds)} trainings, with seeds {told}."


def own_models_sentence(findings: ComparisonFindings) -> str:
    """Returns by which models hospitals' patients were scored."""
    own = [one.name for one in findings.strategies if one.own_models]
    if not own:
        return "Every hospital's patients are scored by the one global model."
    return (
        f"With {', '.join(own)} each hospital's patients are scored by its own model, else by the "
        "one global model."
    )


def strategies_table(findings: ComparisonFindings) -> Table:
    """Returns a line for each strategy: figure, lead, worst and best hospital, and cost."""
    kind = findings.headline
    return Table(
        title="Strategies",
        columns=(
            Column(title="Strategy"),
            Column(title=kind.label, form=kind.form),
            Column(title="Lead over the first", form=kind.form),
            Column(title="Worst hospital"),
            Column(title="Best hospital"),
            Column(title="ε", form=Format.EPSILON),
            Column(title="Bytes up, a round", form=Format.COUNT),
            Column(title="Bytes down, a round", form=Format.COUNT),
            Column(title="Seconds", form=Format.SECONDS),
        ),
        rows=tuple(_row(findings, one) for one in findings.strategies),
        note="Bytes are a hospital's, without keys and shares; seconds are of one training in one "
        "process, beside whatever else the machine did.",
    )


def _row(findings: ComparisonFindings, one: StrategyFigures) -> tuple[Cell, ...]:
    return (
        one.name,
        one.everybody,
        one.lead,
        _told(findings, one, best=False),
        _told(findings, one, best=True),
        one.epsilon,
        one.bytes_up,
        one.bytes_down,
        one.seconds,
    )


def _told(findings: ComparisonFindings, one: StrategyFigures, *, best: bool) -> str | None:
    found = one.extreme(findings.headline, best=best)
    return None if found is None else f"{found[0]} {show(found[1], findings.headline.form)}"


def hospitals_table(findings: ComparisonFindings) -> Table:
    """Returns each strategy's figure on each hospital's test patients."""
    kind, sites = findings.headline, findings.sites
    return Table(
        title=f"{kind.label} by hospital",
        columns=(Column(title="Strategy"), *(Column(title=site, form=kind.form) for site in sites)),
        rows=tuple(
            (one.name, *(one.by_site[site] for site in sites)) for one in findings.strategies
        ),
    )
