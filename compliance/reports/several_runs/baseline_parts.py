"""The parts of a comparison with baselines: what may be said, its drawings, their numbers.

A model is called better than another at a hospital only where the interval of their difference
leaves out 0, and what was not tested is said beside it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from compliance.charts.cross_site import MatrixRow, cross_site_matrix, describe_matrix
from compliance.charts.intervals import Group, describe_groups, grouped_intervals
from compliance.charts.theme import BLUE, GREEN, GREY, VERMILLION, Chart
from compliance.facts.comparison.baselines import (
    ALL_BUT,
    FEDERATED,
    LOCAL,
    POOLED,
    BaselineFindings,
    Lead,
    ModelFigures,
    key_of,
    noise_text,
    text_of,
)
from compliance.facts.formatting import Cell, Format
from compliance.reports.document import Column, Table
from protocol.counted import counted

#: Of all hospitals' test patients together.
EVERYBODY = "all together"
#: The four ways to train, in the order that they are shown in, and what people read.
WAYS = {
    LOCAL: "the hospital alone",
    ALL_BUT: "all but this hospital",
    FEDERATED: "federated",
    POOLED: "pooled records",
}
_NO_INTERVAL = "A figure without an interval is of too few test patients for one."
_COLOURS = {LOCAL: VERMILLION, ALL_BUT: GREY, FEDERATED: BLUE, POOLED: GREEN}


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A chart, the same in words, what is to be known beside it, and the numbers behind it."""

    title: str
    chart: Chart
    alt: str
    caption: str
    table: Table


def model_at(
    findings: BaselineFindings, kind: str, site: str | None, *, noised: bool
) -> ModelFigures | None:
    """Returns the model of a kind that is about a hospital; of all together only two are."""
    if kind in (FEDERATED, POOLED):
        return findings.model(kind, None, noised=noised)
    return None if site is None else findings.model(kind, site, noised=noised)


def answers(findings: BaselineFindings) -> Iterator[str]:
    """Yields, for each way of protecting, where the federation is better than a hospital alone."""
    ways = [(noised, noised) for noised in findings.levels]
    if len(findings.levels) > 1:
        ways.append((True, False))
    for noised, own in ways:
        leads = list(_over_local(findings, federated=noised, local=own))
        how = (
            f"The federated model {noise_text(noised=noised)}, against each hospital alone "
            f"{noise_text(noised=own)}"
        )
        parts = [
            f"{words} {_names(named)}"
            for verdict, words in (
                ("better", "better at"),
                ("worse", "worse at"),
                ("not told apart", "not told apart at"),
                ("too few", "too few test patients to say at"),
            )
            if (named := [lead.tested or "" for lead in leads if lead.verdict == verdict])
        ]
        yield f"{how}: {'; '.join(parts) or 'no figure'}."


def _names(sites: Sequence[str]) -> str:
    if len(sites) > 6:
        return counted(len(sites), "hospital")
    return ", ".join(sites)


def _over_local(findings: BaselineFindings, *, federated: bool, local: bool) -> Iterator[Lead]:
    first = key_of(FEDERATED, None, noised=federated)
    for size in findings.hospitals:
        second = key_of(LOCAL, size.site, noised=local)
        yield from (
            lead
            for lead in findings.leads
            if (lead.tested, lead.first, lead.second) == (size.site, first, second)
        )


def gains(findings: BaselineFindings) -> Drawing | None:
    """Draws what the federation gains each hospital over what it has alone; None of no figure."""
    names = {
        (False, False): ("both without noise", BLUE),
        (True, True): ("both with the study's privacy", VERMILLION),
        (True, False): ("federated with privacy, alone without noise", GREEN),
    }
    groups: list[Group] = []
    rows: list[tuple[Cell, ...]] = []
    for size in findings.hospitals:
        own = []
        for (federated, local), (name, _) in names.items():
            for lead in _over_local(findings, federated=federated, local=local):
                if lead.tested == size.site:
                    own.append((name, lead.value))
                    rows.append((size.site, name, lead.value, lead.verdict))
        groups.append((size.site, own))
    shown = [group for group in groups if group[1]]
    if not shown:
        return None
    title = f"lead in {findings.headline.title}, federated over the hospital alone"
    drawn = {name for _, own in shown for name, _ in own}
    colours = {name: colour for name, colour in names.values() if name in drawn}
    return Drawing(
        title="What the federation gains each hospital",
        chart=grouped_intervals(shown, title, findings.headline, colours, zero=True),
        alt=describe_groups(shown, title, findings.headline),
        caption="Right of the line the federated model is better on that hospital's test patients. "
        "An interval that holds the line tells nothing apart.",
        table=Table(
            title="Federated less alone",
            columns=(
                Column(title="Tested on"),
                Column(title="Which models"),
                Column(title="Lead", form=findings.headline.form),
                Column(title="Federated is"),
            ),
            rows=tuple(rows),
        ),
    )


def reading(findings: BaselineFindings) -> str:
    """Returns what a reader may conclude, and what not."""
    private = (
        " A hospital that trains alone and keeps its model needs no noise: the last comparison of "
        "each hospital is the one that it has to decide by."
        if len(findings.levels) > 1
        else ""
    )
    return (
        "A reader may conclude that one model is better than the other for patients like those of "
        "a hospital where the 95 % interval of their difference leaves out 0, and may not where "
        "it holds 0, however far the two figures lie apart. Intervals are about other patients "
        f"like these{_drawn(findings)}; initial parameters and split are one. Where nothing "
        "differs, one interval in twenty leaves out 0 by chance, and there are "
        f"{len(findings.leads)} on this page. Every training has the study's settings, which were "
        "chosen for the federation: with settings of its own a hospital alone may do better, which "
        f"collegium silo results tries at home.{private}"
    )


def _drawn(findings: BaselineFindings) -> str:
    most = max(model.trainings for model in findings.models)
    if most == 1:
        return ""
    return f" and, of what was trained {most} times, about another draw of noise and batches"


def side_by_side(findings: BaselineFindings, *, noised: bool) -> Drawing:
    """Draws the four ways to train beside each other, by hospital."""
    sites = findings.sites
    groups: list[Group] = []
    for site in (*sites, None):
        own = []
        for kind in WAYS:
            model = model_at(findings, kind, site, noised=noised)
            if model is not None:
                own.append((WAYS[kind], model.everybody if site is None else model.by_site[site]))
        groups.append((site or EVERYBODY, own))
    title = f"{findings.headline.title} of the test patients"
    colours = {WAYS[kind]: _COLOURS[kind] for kind in WAYS}
    return Drawing(
        title=f"Four ways to train, {noise_text(noised=noised)}",
        chart=grouped_intervals(groups, title, findings.headline, colours),
        alt=describe_groups(groups, title, findings.headline),
        caption="The same network, initial parameters, splits and number of steps. Bars are 95 % "
        "intervals for other patients like these. Two that overlap may still differ, for both are "
        "of the same patients: see the differences below.",
        table=Table(
            title=f"{findings.headline.label} on each hospital's test patients",
            columns=(
                Column(title="Tested on"),
                *(Column(title=WAYS[kind], form=findings.headline.form) for kind in WAYS),
            ),
            rows=tuple(
                (group, *(dict(own).get(WAYS[kind]) for kind in WAYS)) for group, own in groups
            ),
            note=_NO_INTERVAL,
        ),
    )


def matrix(findings: BaselineFindings, *, noised: bool) -> Drawing:
    """Draws each model on each hospital's test patients."""
    sites = findings.sites
    shown = [
        *(findings.model(LOCAL, site, noised=noised) for site in sites),
        *(findings.model(ALL_BUT, site, noised=noised) for site in sites),
        findings.model(FEDERATED, None, noised=noised),
        findings.model(POOLED, None, noised=noised),
    ]
    rows: list[MatrixRow] = [
        (text_of(model.kind, model.site), [*model.by_site.items()]) for model in shown
    ]
    framed = [(text_of(LOCAL, site), site) for site in sites]
    framed += [(text_of(ALL_BUT, site), site) for site in sites]
    figure, how = findings.headline, noise_text(noised=noised)
    among = [
        found.value
        for model in findings.models
        for found in model.by_site.values()
        if found.value is not None
    ]
    return Drawing(
        title="Each model on each hospital's test patients",
        chart=cross_site_matrix(rows, figure, framed=framed, among=among),
        alt=describe_matrix(rows, figure),
        caption="Framed: what a hospital's own model reaches at home, and what a model that never "
        "saw a hospital reaches there. Below each figure its 95 % interval. Compare down a column: "
        "hospitals' patients differ, so along a row figures differ for one and the same model.",
        table=Table(
                    title=f"Cross-site matrix, {how}",
                    columns=(
                        Column(title="Trained"),
                        Column(title="Training patients", form=Format.COUNT),
                        *(Column(title=site, form=figure.form) for site in sites),
                        Column(title=EVERYBODY, form=figure.form),
                    ),
                    rows=tuple(
                        (
                            text_of(model.kind, model.site), model.train_patients,
                            *model.by_site.values(), model.everybody,
                        )
                        for model in shown
                    ),
                    note=_NO_INTERVAL,
                ),
    )  # fmt: skip


def differences_table(findings: BaselineFindings) -> Table:
    """Returns the lead of every model over those that it is held against."""
    rows: list[tuple[Cell, ...]] = [
        (
            lead.tested or EVERYBODY, _named(lead.first, lead.tested),
            _named(lead.second, lead.tested), lead.value, lead.verdict,
        )
        for lead in findings.leads
    ]  # fmt: skip
    how = (
        "DeLong et al. 1988"
        if findings.headline.name == "auroc"
        else f"a paired bootstrap of the patients, percentiles, seed {findings.study.seed}"
    )
    sign = "" if findings.headline.higher_is_better else ": its error is the smaller one"
    note = (
        f"Lead: how much better the first model's {findings.headline.title} is on the same "
        f"patients (above 0 it is the better one{sign}). Interval: {how}; of what was trained "
        f"several times also the t-interval of its mean, in squares. Too few: {findings.too_few}."
    )
    return Table(
        title="Differences on the same patients",
        columns=(
            Column(title="Tested on"), Column(title="First"), Column(title="Second"),
            Column(title="Lead", form=findings.headline.form), Column(title="The first is"),
        ),
        rows=tuple(rows),
        note=note,
    )  # fmt: skip


def said_of_lead(lead: Lead) -> str:
    """Returns which model is how much better than which, in words without the figure."""
    first, second = _named(lead.first, lead.tested), _named(lead.second, lead.tested)
    return f"{first} is {lead.verdict} than {second}"


def _named(key: str, tested: str | None) -> str:
    """Returns a model's name as it stands in a table of one hospital's patients."""
    name, _, noise = key.partition(" with")
    kind, _, site = name.partition("/")
    how = noise_text(noised=not noise.startswith("out"))
    return f"{text_of(kind, site or tested)}, {how}"
