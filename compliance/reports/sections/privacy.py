"""Sections about privacy: the claim, what it costs each hospital, what it does not cover."""

from compliance.facts.dossier import Dossier
from compliance.facts.formatting import Format
from compliance.privacy.claims import OWN_NOISE, correlated_noise, shared_noise, whose_patients
from compliance.reports import run_tables
from compliance.reports.document import Bullets, Fact, Facts, Paragraph, Section, Table, Tone
from compliance.reports.sections import run as run_parts
from compliance.reports.sections import statements

#: What each unit of protection means.
_UNITS = {
    "patient": "One patient: all records of one patient at one hospital.",
    "record": "One record, as the study declares: a patient with several records is protected "
    "less, by about the sum over those records.",
}


def claim_section(dossier: Dossier) -> Section:
    """Returns the claim in plain words, and what each word of it means."""
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
            (f"Trust, {'evaluation' if dossier.has_model else 'counts'}", "Every hospital adds its "
             "full noise to its own counts, so the claim for "
             f"{'test ' * dossier.has_model}patients holds without trusting the secure sum."),
            ("Two groups", _two_groups(dossier)),
        )
    )  # fmt: skip
    return Section(key="claim", title="The privacy claim", blocks=(plain, definition))


_CALENDAR = (
    "This run is one release of a calendar: a reference and {} releases after it, with the same "
    "patients in each of them. The ε is that of all of them together. In one release: "
)


def _mechanism(dossier: Dossier) -> str:
    if not dossier.trains and dossier.has_model:
        return (
            "Nothing is trained. The scores of each test patient by a given model are counted "
            "once: integers of exactly bounded norm, discrete Gaussian noise."
        )
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
    if not dossier.trains and dossier.has_model:
        together = [s.site for s in dossier.sites if s.privacy.sides != "apart"]
        said = (
            "Only test patients are used, and pay the ε. No record of a training patient is read "
            "by the model, and none of them pays anything. "
        )
        if together:
            said += (
                f"Another study may divide them otherwise, so at {', '.join(together)} every "
                "patient's budget for life is charged it."
            )
        return said.strip()
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


def per_hospital_section(dossier: Dossier) -> Section:
    """Returns each hospital's privacy, mechanism and budget, as the hospitals signed them."""
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


def second_opinion_sections(dossier: Dossier) -> tuple[Section, ...]:
    """Returns what another accountant says of the same plans; nothing where none was asked."""
    tables = _second_opinions(dossier)
    section = Section(key="second-opinions", title="Second opinions", blocks=tables)
    return (section,) if tables else ()


def not_covered_section(dossier: Dossier) -> Section:
    """Returns what the claim does not cover."""
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


def aggregation_section(dossier: Dossier) -> Section:
    """Returns what the secure sum hides, and what of the claim rests on it."""
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
