"""The page of a comparison with baselines.

What is exact is called so, and the page says what of it a real consortium may do.
"""

from compliance.charts.theme import to_svg
from compliance.facts.comparison.baselines import BaselineFindings, noise_text, text_of
from compliance.facts.formatting import Format
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
from compliance.reports.several_runs.baseline_parts import (
    Drawing,
    answers,
    differences_table,
    gains,
    matrix,
    reading,
    side_by_side,
)

#: What stands beside every exact figure of a comparison.
EXACT = (
    "Every figure here is exact, of simulated hospitals whose records lie on this machine. None of "
    "it is differentially private: of real patients none of it may be published."
)
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


def baselines_page(findings: BaselineFindings) -> Document:
    """Returns the page of a comparison."""
    return Document(
        kind="baselines",
        title="A federation beside its baselines",
        subtitle=f"{findings.study.title}, study {findings.study.digest}",
        banner=banner(findings),
        sections=(
            _worth(findings),
            *(_side_by_side(findings, noised=noised) for noised in findings.levels),
            *(_matrix(findings, noised=noised) for noised in findings.levels),
            Section(
                key="differences",
                title="Differences, pair by pair",
                blocks=(differences_table(findings),),
            ),
            Section(
                key="real-hospitals",
                title="What of this is possible with real hospitals",
                blocks=(Bullets(items=REAL),),
            ),
            _made(findings),
        ),
        footer=("Written by collegium baselines. Equal study, records and seed give equal bytes.",),
    )


def banner(findings: BaselineFindings) -> tuple[Statement, ...]:
    """Returns what must be read first: that figures are exact, and who gains."""
    return (
        Statement(text="A simulation. Exact figures.", detail=EXACT, tone=Tone.CAUTION),
        Statement(
            text="On which hospital's patients is the federated model better than its own?",
            detail=" ".join(answers(findings)),
        ),
    )


def _worth(findings: BaselineFindings) -> Section:
    drawn, said = gains(findings), Paragraph(text=reading(findings))
    blocks: tuple[Block, ...] = (said,) if drawn is None else (_figure(drawn), said)
    return Section(key="worth", title="What the federation gains", blocks=blocks)


def _side_by_side(findings: BaselineFindings, *, noised: bool) -> Section:
    return Section(
        key=f"side-by-side-{_level(noised=noised)}",
        title=f"Side by side, {noise_text(noised=noised)}",
        blocks=(_figure(side_by_side(findings, noised=noised)),),
    )


def _matrix(findings: BaselineFindings, *, noised: bool) -> Section:
    return Section(
        key=f"matrix-{_level(noised=noised)}",
        title=f"The cross-site matrix, {noise_text(noised=noised)}",
        blocks=(_figure(matrix(findings, noised=noised)),),
    )


def _figure(drawn: Drawing) -> Figure:
    return Figure(
        title=drawn.title,
        svg=to_svg(drawn.chart),
        alt=drawn.alt,
        caption=drawn.caption,
        table=drawn.table,
    )


def _made(findings: BaselineFindings) -> Section:
    study = findings.study
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
            Fact(label="Strategy", value=study.strategy),
            Fact(label="Gradient steps of every training", value=study.steps, form=Format.COUNT),
            Fact(label="Model seed", value=study.seed, form=Format.COUNT),
            Fact(label="Split seed", value=study.split_seed, form=Format.COUNT),
            Fact(label="Privacy of the study", value=study.privacy),
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
    clip = findings.study.clip
    return "none" if clip is None else f"{clip:g}, as in the study: only the noise is left out"


def _level(*, noised: bool) -> str:
    return "private" if noised else "plain"
