"""The parts that reports and pages are made of: each a function of one dossier.

Rules:

1. A figure computed from all hospitals' records in one place is called
   *simulation only* wherever it stands.
2. What is not known is a dash or a sentence, never a zero.
3. Nothing is claimed that the dossier does not claim.
"""

from collections.abc import Sequence

from compliance.charts import run as charts
from compliance.charts.descriptions import (
    WITHOUT_PRIVACY,
    describe_clips,
    describe_privacy,
    describe_rounds,
    describe_sites,
    describe_utility,
    difference_text,
    gap_sentences,
    gap_text,
    interval_text,
    own_notes,
    too_small_text,
)
from compliance.estimates.binned_scores.risk_figures import RiskFigures
from compliance.facts.comparison import differences, gaps, num_missing, over_of
from compliance.facts.dossier import Dossier
from compliance.facts.figures import FigureKind
from compliance.facts.formatting import Cell, Format, show
from compliance.facts.privacy_utility import (
    MODES,
    RELEASED,
    UtilityLevel,
    UtilityPoint,
    Withheld,
    compares_modes,
    figure_of,
    means_tell,
    reasons,
    utility_levels,
    wholly_withheld,
)
from compliance.privacy.rounding import percent
from compliance.reports.document import (
    Block,
    Bullets,
    Column,
    Fact,
    Facts,
    Figure,
    Paragraph,
    Section,
    Statement,
    Table,
    Tone,
)
from compliance.reports.run_tables import budget_table, clips_table, rounds_table, sites_table
from protocol.counted import counted

_STATES = {
    "finished": ("The run finished.", Tone.GOOD),
    "running": ("The run is still at work: its figures are not final.", Tone.CAUTION),
    "interrupted": ("The run was interrupted: its process ended before the run did.", Tone.BAD),
    "stopped": ("The run was stopped before its end.", Tone.CAUTION),
    "failed": ("The run failed: it yielded no model to use.", Tone.BAD),
    "refused": ("The run was refused before any work.", Tone.BAD),
}


def claim(dossier: Dossier) -> Statement:
    """Returns the privacy claim, or the statement that there is none."""
    if not dossier.sites:
        return Statement(
            text="No privacy is claimed: no hospital had signed a summary.",
            detail="The record holds no hospital's signed statement of budget and mechanism.",
            tone=Tone.BAD,
        )
    if dossier.protected:
        units = {s.privacy.unit for s in dossier.sites}
        level = "Patient" if units == {"patient"} else "Record"
        return Statement(text=f"{level}-level differential privacy.", detail=dossier.claim)
    reason = dossier.claim.removeprefix("No privacy is claimed: ")
    return Statement(
        text="No privacy is claimed.",
        detail=f"{reason[:1].upper()}{reason[1:]} Its model and figures may reveal what is in "
        "single patients' records.",
        tone=Tone.BAD,
    )


def banner(dossier: Dossier) -> tuple[Statement, ...]:
    """Returns what must be read first: the state, the claim, and whether this is a simulation."""
    text, tone = _STATES.get(dossier.state, (f"The run is {dossier.state}.", Tone.CAUTION))
    took = "" if dossier.seconds is None else f", took {show(dossier.seconds, Format.SECONDS)}"
    when = f"Run {dossier.run_id}, started {show(dossier.started_at, Format.TIME)}{took}."
    why = f"{dossier.failure}. " if dossier.failure else ""
    state = Statement(text=text, detail=why + when, tone=tone)
    simulated = Statement(
        text="A simulation on one machine.",
        detail="The hospitals ran side by side over an in-memory link. Figures marked simulation "
        "only are exact and unprotected; a real consortium could not compute them.",
    )
    useless = tuple(_useless(warning) for warning in dossier.warnings)
    return (
        state,
        *useless,
        *_sweep(dossier),
        *_beside(dossier),
        claim(dossier),
        *((simulated,) if dossier.simulation else ()),
    )


def _beside(dossier: Dossier) -> tuple[Statement, ...]:
    """Returns that other runs showed the same patients without privacy, where this one protects."""
    runs = dossier.unprotected_runs
    if not (runs and dossier.protected):
        return ()
    named = ", ".join(runs[:3]) + (f" and {len(runs) - 3} more" if len(runs) > 3 else "")
    return (
        Statement(
            text="The same patients were also used without privacy.",
            detail=f"{counted(len(runs), 'simulated run')} without differential privacy began "
            f"before this one ended ({named}). That costs no budget, and nothing bounds what it "
            "shows: the claim is about this run alone.",
            tone=Tone.CAUTION,
        ),
    )


def _sweep(dossier: Dossier) -> tuple[Statement, ...]:
    """Returns what all runs of a sweep cost the same patients; nothing of a run on its own."""
    if dossier.sweep_share is None:
        return ()
    budgets = [s.privacy.budget_epsilon for s in dossier.sites if s.privacy.budget_epsilon]
    of = f" of ε = {show(max(budgets), Format.NUMBER)}" if budgets else ""
    return (
        Statement(
            text="One of several runs on the same patients.",
            detail=f"At most {percent(dossier.sweep_share)} of a patient's budget for life{of} was "
            "booked, by this sweep's runs and those before it, whenever one of them ended. Every ε "
            "below is of this run alone.",
            tone=Tone.CAUTION,
        ),
    )


def _useless(warning: str) -> Statement:
    found, _, advice = warning.partition(": ")
    return Statement(text=f"{found}.", detail=advice, tone=Tone.CAUTION)


def verification(dossier: Dossier) -> Statement:
    """Returns whether the records behind a document were verified; if not, its watermark."""
    found, audit = dossier.verification, dossier.audit
    if found is None:
        return Statement(
            text="NOT VERIFIED: the records behind this document were not held to the signed log.",
            detail="collegium audit verify --out FOLDER does that.",
            tone=Tone.BAD,
        )
    if found.faults:
        return Statement(
            text="NOT VERIFIED: the records behind this document are not what was logged.",
            detail=f"{'; '.join(found.faults)}. Do not rely on anything below.",
            tone=Tone.BAD,
        )
    newest = show(audit.entries[-1].time, Format.TIME) if audit.entries else "no entry"
    return Statement(
        text=f"Verified at entry {audit.size:,} of the signed log ({newest}), key {found.key}.",
        detail="Every record of the folder is what its log says. Compare the key with the one in "
        "the consortium's roster. Times, environment, why a run failed, whether it was a "
        "simulation and of which sweep, a simulation's exact figures, and what a red team found "
        "are logged by the coordinator alone: no hospital has signed them.",
        tone=Tone.GOOD,
    )


def utility_table(points: Sequence[UtilityPoint], withheld: Sequence[Withheld] = ()) -> Table:
    """Returns mean and range over the runs for each mode, epsilon and kind of figure.

    Beside each mean stands how many runs are missing in it, and why. Released means that
    noise could have drawn are not given.
    """
    figure = figure_of(points)
    lines = [
        (*_protection(level), level.kind, level.num_runs, level.num_withheld,
         level.num_next_to_chance, level.mean if means_tell(level, points) else None,
         level.low, level.high, level.why)
        for level in utility_levels(points, withheld)
    ] + [
        (*_protection(group[0]), RELEASED, 0, len(group), 0, None, None, None, reasons(group))
        for group in wholly_withheld(points, withheld)
    ]  # fmt: skip
    return Table(
        title="Utility against epsilon",
        columns=(
            Column(title="Mode"),
            Column(title="ε", form=Format.EPSILON),
            Column(title="Figure"),
            Column(title="Runs", form=Format.COUNT),
            Column(title="Withheld", form=Format.COUNT),
            Column(title="Next to chance", form=Format.COUNT),
            Column(title=f"{figure.label}, mean", form=figure.form),
            Column(title=f"{figure.label}, lowest", form=figure.form),
            Column(title=f"{figure.label}, highest", form=figure.form),
            Column(title="Why withheld"),
        ),
        rows=tuple(lines),
        note="Means are over the runs that released a figure; those withheld are in none. "
        f"Released means that noise could have drawn are not given.{_chance_text(figure)}",
    )


def _chance_text(figure: FigureKind) -> str:
    if figure.chance is None:
        return ""
    return (
        f" Next to chance: an exact {figure.title} within 0.05 of {figure.chance:g}, or worse; or "
        f"a released interval that holds {figure.chance:g}."
    )


def _protection(level: UtilityLevel | Withheld) -> tuple[Cell, Cell]:
    return MODES[level.mode], "none: no privacy" if level.epsilon is None else level.epsilon


def difference_table(points: Sequence[UtilityPoint], withheld: Sequence[Withheld] = ()) -> Table:
    """Returns what one mode gains over another at the same epsilon, paired over repetitions."""
    return Table(
        title="Modes of privacy against each other",
        columns=(
            Column(title=f"Difference in {figure_of(points).title}"),
            Column(title="Mean", form=Format.RATIO),
            Column(title="95 %, low", form=Format.RATIO),
            Column(title="95 %, high", form=Format.RATIO),
            Column(title=over_of(points).capitalize(), form=Format.COUNT),
            Column(title="Withheld", form=Format.COUNT),
        ),
        rows=tuple(
            (
                difference_text(d),
                d.value.mean,
                d.value.low,
                d.value.high,
                d.value.count,
                num_missing(points, withheld, d.epsilon, d.mode, d.than),
            )  # fmt: skip
            for d in differences(points)
        ),
        note=f"Paired run by run; Student's t. {interval_text(points)}",
    )


def utility_section(points: Sequence[UtilityPoint], withheld: Sequence[Withheld] = ()) -> Section:
    """Returns utility against epsilon over all that asks what this study asks."""
    blocks: tuple[Block, ...]
    if compares_modes(points):
        closed = tuple(
            (f"ε = {show(gap.epsilon, Format.EPSILON)}", gap_text(gap)) for gap in gaps(points)
        )
        said = (Bullets(items=closed),) if closed else ()
        blocks = (
            _utility_figure(points, withheld, _COMPARED),
            *said,
            difference_table(points, withheld),
        )
    elif points and all(point.epsilon is None for point in points):
        text = "Every finished run of this study trained without privacy; collegium sweep adds ε."
        blocks = (Paragraph(text=text), utility_table(points, withheld))
    elif points:
        blocks = (_utility_figure(points, withheld, _one_mode(points)),)
    else:
        blocks = (Paragraph(text="No finished run of this study has a figure to show yet."),)
        if withheld:
            blocks += (utility_table((), withheld),)
    return Section(key="utility", title="Utility against ε", blocks=blocks)


_LINE = (
    "A line joins released means only where those at the smallest and the largest ε differ by "
    "more than the 95 % interval of a difference between two runs."
)
_ONE_MODE = (
    "Each mark is a run; the line is the mean, the band the range of the runs. Released figures "
    "carry the noise that protects test patients, and their 95 % interval, which is about "
    "patients, noise and bins, not about repetitions. "
)


def _one_mode(points: Sequence[UtilityPoint]) -> str:
    """Returns the caption of runs of one mode, with what a released figure is."""
    released_as = figure_of(points).released_as
    return " ".join(filter(None, (_ONE_MODE.strip(), released_as, WITHOUT_PRIVACY, _LINE)))


_COMPARED = (
    "Small marks are single runs, large ones their means; bars and bands are the range of the "
    "runs, figures in brackets the 95 % interval of the mean. The pooled reference (simulation "
    "only) had all hospitals' records in one place: no consortium could run it. "
    + WITHOUT_PRIVACY
    + " "
    + _LINE
)


def _utility_figure(
    points: Sequence[UtilityPoint], withheld: Sequence[Withheld], caption: str
) -> Figure:
    return Figure(
        title="Utility against epsilon",
        svg=charts.to_svg(charts.utility_against_epsilon(points, withheld)),
        alt=describe_utility(points, withheld),
        caption=f"{caption} {interval_text(points)}",
        table=utility_table(points, withheld),
    )


def figures_section(dossier: Dossier) -> Section:
    """Returns the run's own figures on its test patients, released and exact."""
    kinds = dossier.figures.pooled
    exact = tuple(
        Fact(
            label=f"{kind.label}, exact (simulation only)",
            value=dossier.exact.get(kind.name),
            form=kind.form,
        )
        for kind in kinds
    )
    released = tuple(
        Fact(label=f"{kind.label}, released", value=dossier.released.get(kind.name), form=kind.form)
        for kind in kinds
    )
    if dossier.risks is not None:
        released += _risk_facts(dossier.risks)
    rows = released + (exact if dossier.simulation else ())
    note = Paragraph(
        text="Released figures come out of the secure sum with noise; their 95 % intervals cover "
        "both the sampling of patients and the noise."
    )
    facts = Facts(title="All test patients together", rows=rows)
    return Section(key="figures", title="Utility", blocks=(facts, note))


def _risk_facts(risks: RiskFigures) -> tuple[Fact, ...]:
    facts = (
        Fact(label="Share of patients who are ill, released", value=risks.ill, form=Format.RATIO),
        Fact(label="Mean risk by the model, released", value=risks.mean_risk, form=Format.RATIO),
        Fact(label="Share of the ill less the mean risk", value=risks.lacking, form=Format.RATIO),
        Fact(
            label="Sensitivity at a risk of 0.5, released",
            value=risks.sensitivity,
            form=Format.RATIO,
        ),
        Fact(
            label="Brier score above that of the share of the ill, released",
            value=risks.excess_brier,
            form=Format.RATIO,
        ),
    )
    if risks.shift is None:
        return facts
    return (*facts, Fact(label="To add to the output (logit)", value=f"{risks.shift:+.2f}"))


def fairness_section(dossier: Dossier) -> Section:
    """Returns how the model does at each hospital, worst and best in sight."""
    table, figure = sites_table(dossier), dossier.figures.site[0]
    known = any(site.has_figure(figure) for site in dossier.sites)
    blocks: tuple[Block, ...]
    if not known:
        blocks = (Paragraph(text="No figure of any hospital is available for this run."),)
    else:
        blocks = (
            Figure(
                title=f"{figure.label} at each hospital",
                svg=charts.to_svg(charts.site_metrics(dossier.sites, figure)),
                alt=describe_sites(dossier.sites, figure),
                caption="Bars are 95 % intervals. Where they overlap, a difference may be chance "
                "and noise alone: a wide bar tells of few patients, not of unfair treatment. "
                + too_small_text(own_notes(dossier.sites, figure)),
                table=table,
            ),
            *(Paragraph(text=said) for said in gap_sentences(dossier)),
        )
    return Section(key="fairness", title="Fairness across hospitals", blocks=blocks)


def budget_section(dossier: Dossier) -> Section:
    """Returns the privacy spent per hospital, or why there is nothing to draw."""
    blocks: tuple[Block, ...]
    spends = [s for s in dossier.sites if s.privacy.budget_epsilon is not None]
    if not spends:
        statement = claim(dossier)
        left = (
            " This run was booked nowhere; what the patients have left is as it was: collegium "
            "silo budget shows it."
        )
        said = f"{statement.text} {statement.detail}{'' if dossier.protected else left}"
        blocks = (Paragraph(text=said),)
    else:
        blocks = (
            Figure(
                title="Privacy spent at each hospital",
                svg=charts.to_svg(charts.privacy_spent(dossier.sites)),
                alt=describe_privacy(dossier.sites),
                caption="The pale bar is what the hospital allows each patient for life, the blue "
                "bar the part that its ledger had booked over all runs when it signed, at the end "
                "of this run; the dark line is this run's.",
                table=budget_table(dossier),
            ),
        )
    return Section(key="budget", title="Privacy spent", blocks=blocks)


def rounds_section(dossier: Dossier) -> Section:
    """Returns the run's rounds as a drawing with its table."""
    blocks: tuple[Block, ...] = (
        Paragraph(text=f"No round was opened; {dossier.rounds_planned} were planned."),
    )
    trained = f"Planned: {counted(dossier.rounds_planned, 'training round')}. "
    if dossier.rounds:
        blocks = (
            Figure(
                title="Time per round",
                svg=charts.to_svg(charts.rounds_timeline(dossier.rounds)),
                alt=describe_rounds(dossier.rounds),
                caption=f"{trained if dossier.trains else ''}A number above a bar "
                "counts hospitals that dropped out of that round; a number in brackets counts "
                "attempts.",
                table=rounds_table(dossier),
            ),
        )
    if dossier.has_adaptive_clip:
        clips = Figure(
            title="Clip by round",
            svg=charts.to_svg(charts.clip_by_round(dossier.rounds)),
            alt=describe_clips(dossier.rounds),
            caption="The clip is adaptive: it moves towards the median length of the patients' "
            "gradients, as noised counts say, which are a part of what epsilon pays for.",
            table=clips_table(dossier),
        )
        blocks = (*blocks, clips)
    return Section(key="rounds", title="Rounds", blocks=blocks)


def audit_section(dossier: Dossier) -> Section:
    """Returns the signed head of the log and this run's entries."""
    audit = dossier.audit
    head = Facts(
        title="Signed head of the consortium's log",
        rows=(
            Fact(label="Root", value=audit.root or None, form=Format.CODE),
            Fact(label="Entries", value=audit.size, form=Format.COUNT),
            Fact(label="Checkpoint", value=audit.checkpoint or None, form=Format.CODE),
        ),
    )
    entries = Table(
        title="Audit entries of this run",
        columns=(
            Column(title="Index", form=Format.COUNT),
            Column(title="Time", form=Format.TIME),
            Column(title="Type"),
            Column(title="Digest of the details", form=Format.CODE),
        ),
        rows=tuple((e.index, e.time, e.type, e.payload) for e in audit.entries),
        note="The log holds digests only: no patient's data, no hospital's figures.",
    )
    how = Bullets(
        items=(
            (
                "To check",
                "collegium audit verify --out FOLDER recomputes the root from every entry of the "
                "log and checks the signature on its head.",
            ),
        )
    )
    return Section(key="audit", title="Audit trail", blocks=(head, entries, how))


def environment_section(dossier: Dossier) -> Section:
    """Returns what the run was made with."""
    rows = tuple(Fact(label=name, value=text) for name, text in sorted(dossier.environment.items()))
    blocks: tuple[Block, ...] = (Facts(title="Software and machine", rows=rows),)
    if not rows:
        blocks = (Paragraph(text="The environment of this run was not recorded."),)
    return Section(key="environment", title="Environment", blocks=blocks)
