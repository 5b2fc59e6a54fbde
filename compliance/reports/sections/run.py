"""The run itself: privacy spent, rounds, audit trail, environment, what a re-run can show."""

from compliance.charts import run as charts
from compliance.charts.descriptions import (
    describe_clips,
    describe_course,
    describe_privacy,
    describe_rounds,
)
from compliance.facts.dossier import CourseFacts, Dossier, Reproduction, RobustFacts
from compliance.facts.dossier.preregistration import preregistration_outcome
from compliance.facts.formatting import Format
from compliance.reports.document import (
    Block,
    Bullets,
    Column,
    Fact,
    Facts,
    Figure,
    Paragraph,
    Section,
    Table,
)
from compliance.reports.run_tables import (
    budget_table,
    clips_table,
    course_table,
    criteria_table,
    robust_table,
    rounds_table,
)
from compliance.reports.sections.statements import claim
from protocol.counted import counted


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
    if dossier.course is not None:
        blocks = (*blocks, *_course(dossier.course))
    if dossier.robust is not None:
        blocks = (*blocks, *_robust(dossier.robust))
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


def _course(course: CourseFacts) -> tuple[Block, ...]:
    said = Paragraph(text=" ".join(course.sentences))
    if all(one.released.value is None for one in course.evaluations):
        return (said, course_table(course)) if course.evaluations else (said,)
    drawn = Figure(
        title=f"Released {course.figure.title} by round",
        svg=charts.to_svg(charts.figure_by_round(course)),
        alt=describe_course(course),
        caption="Every evaluation is of all hospitals, with its own noise; bars are 95 % "
        "intervals. A cross is a model that was rolled back.",
        table=course_table(course),
    )
    return said, drawn


def _robust(robust: RobustFacts) -> tuple[Block, ...]:
    return (Paragraph(text=robust.sentence), robust_table(robust))


def preregistration_sections(dossier: Dossier) -> tuple[Section, ...]:
    """Returns what became of a run's preregistration; none of a study without one."""
    said = preregistration_outcome(dossier)
    if said is None:
        return ()
    deviations = [("found in the records", one.text) for one in said.found]
    deviations += [("declared", f"{one.text} ({said.declared_text(one)})") for one in said.declared]
    blocks: tuple[Block, ...] = (
        Paragraph(text=f"{said.sentence} {said.timing}"),
        criteria_table(said),
    )
    if deviations:
        blocks = (*blocks, Bullets(items=tuple(deviations)))
    return (Section(key="preregistration", title="Preregistration", blocks=blocks),)


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


#: What doing a run again can show, by how it is reproduced.
_SHOWN = {
    Reproduction.REPEATED: "Everything that was drawn follows from recorded seeds. Run again on "
    "the same records, with the same software and on the same kind of machine, it gives the same "
    "model bit by bit; else the first round that differs is named, with what differs.",
    Reproduction.REDRAWN: "Batches and noise were drawn from secret keys that nobody kept, so that "
    "no re-run gives the same model. Compared are the sums whose masked vectors are kept, bit by "
    "bit, everything before the noise, and the released figures of a re-run by their intervals.",
    Reproduction.RECOMPUTED: "Real hospitals are asked for nothing. The sums of the rounds whose "
    "masked vectors are kept are computed again bit by bit, and the models and figures that follow "
    "from them. Noise and batches cannot be drawn again: their keys are never kept.",
}


def reproducibility_section(dossier: Dossier) -> Section:
    """Returns the inputs that are recorded of a run, and what doing it again can show."""
    what = Paragraph(text=_SHOWN[dossier.reproduction])
    manifest = dossier.manifest
    if manifest is None:
        none = Paragraph(text="No manifest of its inputs was kept: an earlier version made it.")
        return Section(key="reproducibility", title="Reproducibility", blocks=(what, none))
    software, platform = manifest.software, manifest.platform
    seeds = ", ".join(f"{name} {seed}" for name, seed in manifest.seeds.items())
    machine = f"{platform.system} {platform.machine}, {platform.processor or 'unknown'}"
    rows = (
        Fact(label="Digest of the manifest", value=manifest.digest, form=Format.CODE),
        Fact(label="Seeds that are no secret", value=seeds),
        Fact(label="First model", value=manifest.initial_model, form=Format.CODE),
        *(
            Fact(label=f"Data file {file.name}", value=file.digest, form=Format.CODE)
            for file in manifest.files
        ),
        Fact(label="Collegium's source files", value=software.code, form=Format.CODE),
        Fact(
            label=f"Installed distributions ({len(software.libraries)})",
            value=software.distributions,
            form=Format.CODE,
        ),
        Fact(label="Locked versions", value=software.lock, form=Format.CODE),
        Fact(label="Machine", value=machine),
    )
    facts = Facts(title="Manifest: the inputs that are recorded", rows=rows)
    how = Bullets(items=(("To do it again", f"collegium reproduce {dossier.run_id} --out FOLDER"),))
    return Section(key="reproducibility", title="Reproducibility", blocks=(what, facts, how))
