"""The page of a comparison with baselines.

What is exact is called so, what was not tested is said beside what was, and the page says what of
it a real consortium may do.
"""

from collegium.simulation.baselines.answers import (
    EVERYBODY,
    EXACT,
    ORDER,
    TITLES,
    answers,
    leads_over_local,
    model_about,
    model_name,
)
from collegium.simulation.baselines.findings import BaselineFindings
from collegium.simulation.baselines.plan import (
    ALL_BUT,
    FEDERATED,
    LOCAL,
    POOLED,
    noise_text,
    text_of,
)
from compliance.charts.cross_site import MatrixRow, cross_site_matrix, describe_matrix
from compliance.charts.intervals import Group, describe_groups, grouped_intervals
from compliance.charts.theme import BLUE, GREEN, GREY, VERMILLION, to_svg
from compliance.facts.formatting import Cell, Format
from compliance.reports.document import (
    Block,
    Bullets,
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
from pipelines.evaluation.compared_models import (
    FEWEST_DRAWN,
    FEWEST_OF_A_KIND,
    FEWEST_TRAININGS,
)
from pipelines.evaluation.exact_intervals import FEWEST_OF_A_CLASS

#: What of a comparison real hospitals may do.
REAL = (
    (
        "each hospital alone",
        "At home: collegium silo results RUN trains the network on the hospital's own records and "
        "compares it with the run's model. It is made without noise, so neither that model nor its "
        "figures may leave; one trained with noise of its own would be charged to the patients "
        "before it left.",
    ),
    ("federated", "Yes: it is a run. Its figures are released with noise, and charged."),
    ("pooled records", "No: nobody may hold all records. It can be known in a simulation only."),
    (
        "all but one",
        "Only as a further run of the other hospitals, whose patients pay for it in full once "
        "more. What it reaches on the patients of the hospital that was left out is that "
        "hospital's to know.",
    ),
    (
        "the cross-site matrix",
        "No: each hospital's own model would have to leave it, and each figure off the diagonal "
        "is about another hospital's patients. No command computes it for real hospitals.",
    ),
)
_TOO_FEW = (
    f"Too few: fewer than {FEWEST_OF_A_CLASS} test patients of a class, or, where patients are "
    f"drawn again, fewer than {FEWEST_DRAWN}, or {FEWEST_OF_A_KIND} with each class or an event; "
    f"or fewer than {FEWEST_TRAININGS} trainings of what draws noise or batches."
)
_NO_INTERVAL = "A figure without an interval is of too few test patients for one."
_COLOURS = {LOCAL: VERMILLION, ALL_BUT: GREY, FEDERATED: BLUE, POOLED: GREEN}


def page(findings: BaselineFindings) -> Document:
    """Returns the page of a comparison."""
    study = findings.study
    return Document(
        kind="baselines",
        title="A federation beside its baselines",
        subtitle=f"{study.title}, study {study.digest}",
        banner=(
            Statement(text="A simulation. Exact figures.", detail=EXACT, tone=Tone.CAUTION),
            Statement(
                text="On which hospital's patients is the federated model better than its own?",
                detail=" ".join(answers(findings)),
            ),
        ),
        sections=(
            _worth(findings),
            *(_side_by_side(findings, noised=noised) for noised in findings.levels),
            *(_matrix(findings, noised=noised) for noised in findings.levels),
            _differences(findings),
            Section(
                key="real-hospitals",
                title="What of this is possible with real hospitals",
                blocks=(Bullets(items=REAL),),
            ),
            _made(findings),
        ),
        footer=("Written by collegium baselines. Equal study, records and seed give equal bytes.",),
    )


def _worth(findings: BaselineFindings) -> Section:
    """Returns what federation gains each hospital over what it has alone."""
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
            for lead in leads_over_local(findings, federated=federated, local=local):
                if lead.tested == size.site:
                    own.append((name, lead.value))
                    rows.append((size.site, name, lead.value, lead.verdict))
        groups.append((size.site, own))
    shown = [group for group in groups if group[1]]
    blocks: list[Block] = []
    if shown:
        title = f"lead in {findings.headline.title}, federated over the hospital alone"
        drawn = {name for _, own in shown for name, _ in own}
        colours = {name: colour for name, colour in names.values() if name in drawn}
        chart = grouped_intervals(shown, title, findings.headline, colours, zero=True)
        blocks.append(
            Figure(
                title="What the federation gains each hospital",
                svg=to_svg(chart),
                alt=describe_groups(shown, title, findings.headline),
                caption="Right of the line the federated model is better on that hospital's test "
                "patients. An interval that holds the line tells nothing apart.",
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
            )  # fmt: skip
        )
    blocks.append(Paragraph(text=_reading(findings)))
    return Section(key="worth", title="What the federation gains", blocks=tuple(blocks))


def _reading(findings: BaselineFindings) -> str:
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


def _side_by_side(findings: BaselineFindings, *, noised: bool) -> Section:
    sites = [size.site for size in findings.hospitals]
    groups: list[Group] = []
    for site in (*sites, None):
        own = []
        for kind in ORDER:
            model = model_about(findings, kind, site, noised=noised)
            if model is not None:
                own.append((TITLES[kind], model.on(site)))
        groups.append((site or EVERYBODY, own))
    title = f"{findings.headline.title} of the test patients"
    colours = {TITLES[kind]: _COLOURS[kind] for kind in ORDER}
    chart = grouped_intervals(groups, title, findings.headline, colours)
    table = Table(
        title=f"{findings.headline.label} on each hospital's test patients",
        columns=(
            Column(title="Tested on"),
            *(Column(title=TITLES[kind], form=findings.headline.form) for kind in ORDER),
        ),
        rows=tuple(
            (group, *(dict(own).get(TITLES[kind]) for kind in ORDER)) for group, own in groups
        ),
        note=_NO_INTERVAL,
    )
    how = noise_text(noised=noised)
    return Section(
        key=f"side-by-side-{_level(noised=noised)}",
        title=f"Side by side, {how}",
        blocks=(
            Figure(
                title=f"Four ways to train, {how}",
                svg=to_svg(chart),
                alt=describe_groups(groups, title, findings.headline),
                caption="The same network, initial parameters, splits and number of steps. Bars "
                "are 95 % intervals for other patients like these. Two that overlap may still "
                "differ, for both are of the same patients: see the differences below.",
                table=table,
            ),
        ),
    )


def _matrix(findings: BaselineFindings, *, noised: bool) -> Section:
    sites = [size.site for size in findings.hospitals]
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
    return Section(
        key=f"matrix-{_level(noised=noised)}",
        title=f"The cross-site matrix, {how}",
        blocks=(
            Figure(
                title="Each model on each hospital's test patients",
                svg=to_svg(cross_site_matrix(rows, figure, framed=framed, among=among)),
                alt=describe_matrix(rows, figure),
                caption="Framed: what a hospital's own model reaches at home, and what a model "
                "that never saw a hospital reaches there. Below each figure its 95 % interval. "
                "Compare down a column: hospitals' patients differ, so along a row figures differ "
                "for one and the same model.",
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
            ),
        ),
    )  # fmt: skip


def _differences(findings: BaselineFindings) -> Section:
    rows: list[tuple[Cell, ...]] = [
        (
            lead.tested or EVERYBODY, model_name(lead.first, lead.tested),
            model_name(lead.second, lead.tested), lead.value, lead.verdict,
        )
        for lead in findings.leads
    ]  # fmt: skip
    how = (
        "DeLong et al. 1988"
        if findings.headline.name == "auroc"
        else f"a paired bootstrap of the patients, percentiles, seed {findings.study.seeds.model}"
    )
    sign = "" if findings.headline.higher_is_better else ": its error is the smaller one"
    note = (
        f"Lead: how much better the first model's {findings.headline.title} is on the same "
        f"patients (above 0 it is the better one{sign}). Interval: {how}; of what was trained "
        f"several times also the t-interval of its mean, in squares. {_TOO_FEW}"
    )
    table = Table(
        title="Differences on the same patients",
        columns=(
            Column(title="Tested on"), Column(title="First"), Column(title="Second"),
            Column(title="Lead", form=findings.headline.form), Column(title="The first is"),
        ),
        rows=tuple(rows),
        note=note,
    )  # fmt: skip
    return Section(key="differences", title="Differences, pair by pair", blocks=(table,))


def _made(findings: BaselineFindings) -> Section:
    study = findings.study
    training, privacy = study.training, study.privacy
    sizes = Table(
        title="Patients",
        columns=(
            Column(title="Hospital"), Column(title="Training", form=Format.COUNT),
            Column(title="Test", form=Format.COUNT),
        ),
        rows=tuple(
            (size.site, size.train_patients, size.test_patients) for size in findings.hospitals
        ),
    )  # fmt: skip
    noised = [model for model in findings.models if model.noised]
    costs = Table(
        title="What the noise of each training would cost one patient",
        columns=(
            Column(title="Trained"), Column(title="ε", form=Format.EPSILON),
            Column(title="Noise multiplier", form=Format.NUMBER),
        ),
        rows=tuple(
            (
                text_of(model.kind, model.site), model.epsilon,
                max(model.noise_multipliers.values(), default=None),
            )
            for model in noised
        ),
        note="The largest of any hospital. A hospital alone has the noise of what it promises its "
        "own patients; pooled records have the study's noise once.",
    )  # fmt: skip
    facts = Facts(
        title="How they were trained",
        rows=(
            Fact(label="Study", value=study.digest, form=Format.CODE),
            Fact(label="Strategy", value=training.strategy),
            Fact(label="Gradient steps of every training", value=training.steps, form=Format.COUNT),
            Fact(label="Model seed", value=study.seeds.model, form=Format.COUNT),
            Fact(label="Split seed", value=study.seeds.split, form=Format.COUNT),
            Fact(label="Privacy of the study", value=privacy.mode),
            Fact(label="Clip without noise", value=_clip_said(findings)),
            Fact(
                label="Trainings of each that draws noise or batches",
                value=max(model.trainings for model in findings.models),
                form=Format.COUNT,
            ),
            Fact(
                label="Sampling and noise",
                value="from the model seed, as with --test-noise: repeatable, so no privacy is "
                "claimed",
            ),
        ),
    )
    blocks: tuple[Block, ...] = (facts, sizes, *((costs,) if noised else ()))
    return Section(key="made", title="How it was made", blocks=blocks)


def _clip_said(findings: BaselineFindings) -> str:
    clip = findings.study.privacy.clip
    return "none" if clip is None else f"{clip:g}, as in the study: only the noise is left out"


def _level(*, noised: bool) -> str:
    return "private" if noised else "plain"
