"""The public page that a run leaves behind."""

from collections.abc import Sequence

from compliance.charts.descriptions import site_claim, unclaimed
from compliance.facts.dossier import Dossier
from compliance.facts.formatting import Format, show
from compliance.facts.privacy_utility import EXACT, UtilityPoint, Withheld
from compliance.facts.training_description import training_description
from compliance.reports.document import (
    Commands,
    Document,
    Highlight,
    Highlights,
    Paragraph,
    Section,
)
from compliance.reports.sections import privacy, statements
from compliance.reports.sections import run as run_parts
from compliance.reports.sections.results import page_results
from protocol.counted import counted


def run_page(
    dossier: Dossier, sweep_points: Sequence[UtilityPoint], withheld: Sequence[Withheld] = ()
) -> Document:
    """Returns the page a run leaves behind: what it achieved, what it cost, what to do next.

    Args:
        dossier: the run.
        sweep_points: every finished run of the same study, this one included.
        withheld: those of them that released no AUROC.
    """
    return Document(
        kind="run-page",
        title=dossier.study_title,
        subtitle=dossier.study_purpose,
        banner=statements.banner(dossier),
        sections=(
            Section(
                key="summary",
                title="In short",
                blocks=(headlines(dossier), _about(dossier, sweep_points)),
            ),
            *run_parts.preregistration_sections(dossier),
            *page_results(dossier, sweep_points, withheld),
            run_parts.budget_section(dossier),
            *privacy.second_opinion_sections(dossier),
            run_parts.rounds_section(dossier),
            run_parts.audit_section(dossier),
            _next_steps(dossier),
        ),
        footer=(statements.made_from(dossier),),
    )


def page_subject(run_id: str) -> str:
    """Returns the sentence by which a page says whose it is, and by which it is told apart."""
    return f"This page is about run {run_id}."


def _about(dossier: Dossier, sweep_points: Sequence[UtilityPoint]) -> Paragraph:
    said = [page_subject(dossier.run_id)]
    if dossier.sweep is not None:
        said.append(
            f"It is one run of the sweep {dossier.sweep}; collegium runs list shows the others."
        )
    if dossier.has_model and len(sweep_points) > 1:
        exact = sum(point.kind == EXACT for point in sweep_points)
        kinds = ((exact, "exact one"), (len(sweep_points) - exact, "released one"))
        parts = " and ".join(counted(number, noun) for number, noun in kinds if number)
        said.append(
            f"Utility against privacy below draws {len(sweep_points)} figures, {parts}: at most "
            "one of each kind for each finished run in this folder that asks the same question. "
            "Everything else is of this run alone."
        )
    said += [f"It {heading} {words}." for heading, words in training_description(dossier.study)]
    return Paragraph(text=" ".join(said))


def headlines(dossier: Dossier) -> Highlights:
    """Returns the figures that a reader takes away from a run."""
    epsilons = [e for s in dossier.sites if (e := site_claim(s)) is not None]
    delta = max((s.privacy.delta or 0.0 for s in dossier.sites), default=0.0)
    claimed = dossier.protected and bool(epsilons)
    completed = [r for r in dossier.rounds if r.round_kind == "training" and r.model_digest]
    figure = dossier.figures.headline
    items = [
        Highlight(label=f"{figure.label}, released", value=_middle(dossier), form=figure.form,
                  note=_interval_note(dossier)),
        Highlight(label="ε for one patient", form=Format.EPSILON,
                  value=max(epsilons) if claimed else "none",
                  note=_claim_note(dossier, delta) if claimed else unclaimed(dossier)),
        Highlight(label="hospitals", value=len(dossier.sites), form=Format.COUNT,
                  note=_hiding_note(dossier)),
        Highlight(label="training rounds", value=len(completed), form=Format.COUNT,
                  note=f"of {dossier.rounds_planned} planned")
        if dossier.trains else evaluated_highlight(dossier)
        if dossier.has_model else counted_highlight(dossier),
    ]  # fmt: skip
    if dossier.simulation:
        exact = Highlight(label=f"{figure.label}, exact", value=dossier.exact.get(figure.name),
                          form=figure.form, note="simulation only")  # fmt: skip
        items.insert(0, exact)
    return Highlights(items=tuple(items))


def evaluated_highlight(dossier: Dossier) -> Highlight:
    """Returns that nothing was trained, and whose model was evaluated."""
    model = (dossier.model_digest or "")[:12]
    return Highlight(
        label="training rounds", value="none", form=Format.TEXT,
        note=f"model {model}, as it was given, is evaluated" if model else "a given model",
    )  # fmt: skip


def counted_highlight(dossier: Dossier) -> Highlight:
    """Returns how much was counted, or which release of its calendar that was."""
    columns, drift = len(dossier.columns), dossier.drift
    number = None if drift is None else drift.number_of(dossier.run_id)
    if drift is None or number is None:
        return Highlight(
            label="columns", value=columns, form=Format.COUNT, note="counted, in one release"
        )
    return Highlight(
        label="release",
        value=number or "reference",
        form=Format.COUNT,
        note=f"of {drift.planned} after the reference; {counted(columns, 'column')}",
    )


def _hiding_note(dossier: Dossier) -> str:
    """Returns how many hospitals hide an update: of the smallest sum where not all are in one."""
    part = "group" if "robust" in dossier.study else "batch"
    among = f" in each {part}" if {"robust", "participation"} & set(dossier.study) else ""
    return f"{dossier.threshold} must answer{among}, {dossier.colluders} may collude"


def _claim_note(dossier: Dossier, delta: float) -> str:
    alone = "" if dossier.sweep_share is None else "this run alone, "
    return f"{alone}δ = {show(delta, Format.SMALL)}, per hospital"


def _middle(dossier: Dossier) -> float | None:
    released = dossier.headline
    return None if released is None else released.value


def _interval_note(dossier: Dossier) -> str:
    released = dossier.headline
    if released is None:
        return "nothing released"
    if released.low is None or released.high is None:
        return released.note or "not available"
    form = dossier.figures.headline.form
    return f"95 %: {show(released.low, form)} to {show(released.high, form)}"


def _next_steps(dossier: Dossier) -> Section:
    run = dossier.run_id
    lines = (
        ("collegium audit verify --out .", "check the log, its signatures and the model"),
        (f"collegium report export {run} --format html --to report.html --out .",
         "the report for the compliance officer; also json and csv"),
        (f"collegium reproduce {run} --out .", "do the run again, and compare what it comes to"),
        ("collegium dashboard --out .", "compare runs, hospitals and budgets in the browser"),
    )  # fmt: skip
    where = Paragraph(text="In the folder of this page:")
    return Section(key="next", title="What to try next", blocks=(where, Commands(lines=lines)))
