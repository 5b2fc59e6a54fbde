"""The privacy report that a compliance officer signs, and the public page of a run.

Both are functions of one frozen dossier and nothing else, so that two reports
of one run cannot disagree. Contents: after NIST SP 800-226. A report supports a
review; it never certifies.
"""

from collections.abc import Sequence

from compliance.charts.descriptions import site_claim, unclaimed
from compliance.facts.dossier import Dossier
from compliance.facts.formatting import Format, show
from compliance.facts.privacy_utility import EXACT, UtilityPoint, Withheld
from compliance.facts.training_description import training_description
from compliance.privacy.claims import (
    OWN_NOISE,
    correlated_noise,
    shared_noise,
    whose_patients,
)
from compliance.reports import run_tables
from compliance.reports.document import (
    Bullets,
    Commands,
    Document,
    Fact,
    Facts,
    Highlight,
    Highlights,
    Paragraph,
    Section,
    Statement,
    Table,
    Tone,
)
from compliance.reports.sections import columns, figures, statements, utility
from compliance.reports.sections import run as run_parts
from compliance.reports.sections.calibration import calibration_section
from compliance.reports.sections.fairness.groups import groups_section
from compliance.reports.sections.fairness.hospitals import hospitals_section
from compliance.reports.sections.outcomes import outcomes_section
from compliance.reports.sections.own_models import own_models_section
from compliance.reports.sections.thresholds import thresholds_section
from compliance.reports.several_runs.drift_page import drift_section
from protocol.counted import counted

__all__ = [
    "headlines",
    "privacy_report",
    "run_page",
]

SUPPORTS = (
    "This report supports a compliance review; it never certifies. It states what the software "
    "recorded and what follows from it. Whether that satisfies a law, a contract or an ethics "
    "board is for the people who sign to judge."
)


#: What each unit of protection means.
_UNITS = {
    "patient": "One patient: all records of one patient at one hospital.",
    "record": "One record, as the study declares: a patient with several records is protected "
    "less, by about the sum over those records.",
}


def privacy_report(dossier: Dossier) -> Document:
    """Returns the privacy statement, run record and audit entries for the compliance officer."""
    return Document(
        kind="privacy-report",
        title="Privacy statement and run record",
        subtitle=dossier.study_title,
        banner=_verified_banner(dossier),
        sections=(
            _identity(dossier),
            _statement(dossier),
            _per_hospital(dossier),
            _not_covered(dossier),
            _aggregation(dossier),
            *_results(dossier),
            run_parts.rounds_section(dossier),
            run_parts.audit_section(dossier),
            run_parts.environment_section(dossier),
        ),
        footer=(SUPPORTS, _made_from(dossier)),
    )


def _results(dossier: Dossier) -> tuple[Section, ...]:
    """Returns what came out: of a model its figures, of a statistics study its columns."""
    return (
        figures.figures_section(dossier),
        *_outcomes(dossier),
        *_thresholds(dossier),
        *(() if dossier.trains else _counted(dossier)),
        _hospitals(dossier),
        *_groups(dossier),
    )


def _counted(dossier: Dossier) -> tuple[Section, ...]:
    """Returns what a study counted that trains nothing; of a monitoring study its drift first."""
    drift = () if dossier.drift is None else (drift_section(dossier.drift),)
    return (*drift, columns.columns_section(dossier))


def _outcomes(dossier: Dossier) -> tuple[Section, ...]:
    return (outcomes_section(dossier),) if dossier.outcomes else ()


def _thresholds(dossier: Dossier) -> tuple[Section, ...]:
    """Returns what a model of two classes does at each threshold, and how right its risks are."""
    return (
        *((thresholds_section(dossier),) if dossier.operating_points else ()),
        *((calibration_section(dossier),) if dossier.calibration else ()),
    )


def _own_models(dossier: Dossier) -> tuple[Section, ...]:
    return (own_models_section(dossier),) if dossier.by_global else ()


def _groups(dossier: Dossier) -> tuple[Section, ...]:
    return (groups_section(dossier),) if dossier.groups else ()


def _hospitals(dossier: Dossier) -> Section:
    if dossier.trains:
        return hospitals_section(dossier)
    return columns.patients_section(dossier)


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
            *(
                (utility.utility_section(sweep_points, withheld),)
                if dossier.trains
                else _counted(dossier)
            ),
            *_outcomes(dossier),
            *_thresholds(dossier),
            _hospitals(dossier),
            *_own_models(dossier),
            *_groups(dossier),
            run_parts.budget_section(dossier),
            *_second_opinion_sections(dossier),
            run_parts.rounds_section(dossier),
            run_parts.audit_section(dossier),
            _next_steps(dossier),
        ),
        footer=(_made_from(dossier),),
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
    if dossier.trains and len(sweep_points) > 1:
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


def _verified_banner(dossier: Dossier) -> tuple[Statement, ...]:
    """Returns the banner with what came of verifying; faults come before everything else."""
    banner, said = statements.banner(dossier), statements.verification(dossier)
    is_faulty = dossier.verification is not None and dossier.verification.faults
    return (said, *banner) if is_faulty else (*banner, said)


def _made_from(dossier: Dossier) -> str:
    version = dossier.environment.get("collegium", "")
    return (
        f"Made by Collegium {version} from run {dossier.run_id} and the audit log of "
        f"{dossier.audit.size:,} entries. The same records give the same document, byte for byte."
    ).replace("  ", " ")


def _identity(dossier: Dossier) -> Section:
    network = dossier.study.get("task", {}).get("network", {}).get("_target_")
    training = training_description(dossier.study)
    rows = (
        Fact(label="Study", value=f"{dossier.study_title} ({dossier.study_name})"),
        Fact(label="Purpose", value=dossier.study_purpose),
        Fact(label="Study digest, registered before any work", value=dossier.study_digest,
             form=Format.CODE),
        Fact(label="Run", value=dossier.run_id, form=Format.CODE),
        Fact(label="State", value=dossier.state),
        Fact(label="Started", value=dossier.started_at, form=Format.TIME),
        Fact(label="Ended", value=dossier.ended_at, form=Format.TIME),
        Fact(label="Took", value=dossier.seconds, form=Format.SECONDS),
        Fact(label="Hospitals", value=", ".join(s.site for s in dossier.sites) or None),
        Fact(label="Network", value=network),
        *(Fact(label=heading.capitalize(), value=words) for heading, words in training),
        Fact(label="Public model seed", value=str(dossier.seed)),
        Fact(label="Model digest", value=dossier.model_digest, form=Format.CODE),
    )  # fmt: skip
    return Section(key="identity", title="What was run", blocks=(Facts(title="Run", rows=rows),))


def _statement(dossier: Dossier) -> Section:
    said = statements.claim(dossier)
    plain = Paragraph(text=f"{said.text} {said.detail}")
    if said.tone is Tone.BAD:
        return Section(key="claim", title="The privacy claim", blocks=(plain,))
    units = sorted({s.privacy.unit for s in dossier.sites})
    definition = Bullets(
        items=(
            ("Unit", " ".join(_UNITS[unit] for unit in units)),
            ("A patient is", _patients(dossier)),
            ("Adjacency", "Add or remove: the same hospital with and without all records of the "
             "patient, so that even whether the patient is there is covered. Everything is "
             "divided by public, declared numbers. Not replace-one, whose ε would be about twice "
             "as large."),
            ("δ", "The probability with which the bound may fail; stated beside every ε, and "
             "below one over the number of patients."),
            ("Mechanism", _mechanism(dossier)),
            ("Accounting", "The claim is by privacy loss distributions (PLD), valid because the "
             "plan was fixed before the run. A budget for life is kept by a Rényi filter at two "
             "orders, valid for studies chosen one after another."),
            *((("Trust, training", shared_noise(dossier.colluders) if dossier.shares_noise
                else OWN_NOISE),) if dossier.trains else ()),
            (f"Trust, {'evaluation' if dossier.trains else 'counts'}", "Every hospital adds its "
             f"full noise to its own counts, so the claim for {'test ' * dossier.trains}patients "
             "holds without trusting the secure sum."),
            ("Two groups", _two_groups(dossier)),
        )
    )  # fmt: skip
    return Section(key="claim", title="The privacy claim", blocks=(plain, definition))


_CALENDAR = (
    "This run is one release of a calendar: a reference and {} releases after it, with the same "
    "patients in each of them. The ε is that of all of them together. In one release: "
)


def _mechanism(dossier: Dossier) -> str:
    if not dossier.trains:
        often = "" if dossier.calendar is None else _CALENDAR.format(dossier.calendar)
        return (
            f"{often}Every patient is counted once, whichever and however many its records are: "
            "one vector of integers of exactly bounded norm, discrete Gaussian noise."
        )
    return (
        "DP-SGD inside each hospital: patients drawn by Poisson sampling, one clipped gradient per "
        "patient, integers of exactly bounded norm, discrete Gaussian noise."
        + correlated_noise(dossier.bands)
    )


def _patients(dossier: Dossier) -> str:
    """Says what each hospital calls a patient; once where all say the same."""
    said = {s.site: whose_patients(s.privacy.patient) for s in dossier.sites}
    if len(set(said.values())) == 1:
        return f"{next(iter(said.values()))}."
    return f"{'; '.join(f'at {site}, {words}' for site, words in said.items())}."


def _two_groups(dossier: Dossier) -> str:
    if not dossier.trains:
        once = "once" if dossier.calendar is None else "in every release"
        return (
            "Patients that other studies train on, and patients that they test on, are counted "
            f"alike, {once}: both budgets for life are charged the same ε."
        )
    one_run = (
        "In this run a patient is used either for training or for testing, so a patient pays the "
        "larger of the two ε, not their sum. "
    )
    together = [s.site for s in dossier.sites if s.privacy.sides != "apart"]
    if not together:
        return one_run + (
            "By the hospitals' own patient numbers that stays so for life, and each group's budget "
            "is charged its own part."
        )
    return one_run + (
        f"Another study may divide them otherwise, so at {', '.join(together)} every patient's "
        "budget for life is charged both."
    )


def _per_hospital(dossier: Dossier) -> Section:
    if not dossier.sites:
        return Section(
            key="hospitals",
            title="Privacy at each hospital",
            blocks=(Paragraph(text="No hospital had signed a summary when the run ended."),),
        )
    budget = run_parts.budget_section(dossier)
    return Section(
        key="hospitals",
        title="Privacy at each hospital",
        blocks=(
            run_tables.privacy_table(dossier),
            run_tables.mechanism_table(dossier),
            *_second_opinions(dossier),
            *budget.blocks,
        ),
    )


def _second_opinions(dossier: Dossier) -> tuple[Table, ...]:
    table = run_tables.second_opinion_table(dossier)
    return (table,) if table.rows else ()


def _second_opinion_sections(dossier: Dossier) -> tuple[Section, ...]:
    tables = _second_opinions(dossier)
    section = Section(key="second-opinions", title="Second opinions", blocks=tables)
    return (section,) if tables else ()


def _not_covered(dossier: Dossier) -> Section:
    items = [
        ("Participation and timing", "Who takes part, who drops out and how long each step takes "
         "are visible to the coordinator and the network. A hospital does the same work in every "
         "step, whichever patients were drawn. Only a step for which more are drawn than the "
         "study's form has places for, with a chance below 2^-40, takes longer; what a "
         "processor's caches may tell somebody on the same machine is not covered."),
        ("The model's form", "Architecture, layer sizes and training settings are public."),
        ("Declared counts", "The number of training patients that each hospital declares is "
         "public; how many it really has does not leave it."),
        ("Patients of several hospitals", "The ε of a hospital is for its own records. A patient "
         "of two hospitals pays the figure in its own column, for whichever other hospital is the "
         "dearest and whether trained or tested on; with more hospitals it grows further."),
        ("Families and groups", "The unit is one patient; records about relatives count as other "
         "patients'. What two or three of them pay together has columns of its own."),
        ("Withdrawal", "A hospital can leave a patient out of later runs. What this run's model "
         "has learned from the patient stays in it."),
        ("Refusals of records", "Whether a hospital joins depends on its records, too, and is not "
         "noised. Why one does not join does not leave it."),
        ("What the model teaches", "That a disease goes with an age or a finding, learned from "
         "everybody, is no loss of privacy in this sense, also where it applies to a patient."),
    ]  # fmt: skip
    if dossier.simulation:
        items.insert(0, ("Figures marked simulation only", "They are exact, without noise, and "
                         "outside every claim."))  # fmt: skip
    return Section(
        key="not-covered", title="What is not covered", blocks=(Bullets(items=tuple(items)),)
    )


def _aggregation(dossier: Dossier) -> Section:
    declared = dossier.study.get("sites")
    number = len(declared) if declared else len(dossier.sites)
    drops = sum(len(r.dropped) for r in dossier.rounds)
    facts = Facts(
        title="Secure aggregation",
        rows=(
            Fact(label="Hospitals n", value=number, form=Format.COUNT),
            Fact(label="Answers needed t", value=dossier.threshold, form=Format.COUNT),
            Fact(label="Hospitals C that may collude with the coordinator",
                 value=dossier.colluders, form=Format.COUNT),
            Fact(label="Rounds opened", value=len(dossier.rounds), form=Format.COUNT),
            Fact(label="Drop-outs over all rounds", value=drops, form=Format.COUNT),
        ),
    )  # fmt: skip
    text = Paragraph(
        text="The coordinator receives masked vectors and learns only their sum over the "
        "hospitals that answered. Up to C hospitals may tell it all they know without any other "
        f"hospital's update becoming visible. {_what_rests_on_it(dossier)} Drop-outs per round are "
        "in the run record below."
    )
    return Section(key="aggregation", title="Secure aggregation", blocks=(facts, text))


def _what_rests_on_it(dossier: Dossier) -> str:
    if not dossier.protected:
        return "No privacy is claimed above: nothing else keeps single updates from being seen."
    if dossier.shares_noise:
        return (
            "The claim for training patients depends on this: an update on its own carries its "
            "hospital's share of the noise only."
        )
    return (
        "The privacy claim above does not depend on this: secure aggregation removes what need "
        "not be seen."
    )


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
        if dossier.trains else counted_highlight(dossier),
    ]  # fmt: skip
    if dossier.simulation:
        exact = Highlight(label=f"{figure.label}, exact", value=dossier.exact.get(figure.name),
                          form=figure.form, note="simulation only")  # fmt: skip
        items.insert(0, exact)
    return Highlights(items=tuple(items))


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
        ("collegium dashboard --out .", "compare runs, hospitals and budgets in the browser"),
    )  # fmt: skip
    where = Paragraph(text="In the folder of this page:")
    return Section(key="next", title="What to try next", blocks=(where, Commands(lines=lines)))
