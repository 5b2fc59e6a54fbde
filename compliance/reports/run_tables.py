"""The tables of a run's report, one line a column: its title, its form, and what stands in it.

What a column shows of a hospital is in ``SiteFacts``, with all that the hospital signed
(``SiteFacts.privacy``); what it shows of a round, in ``RoundFacts``.
"""

from collections.abc import Callable
from typing import TypeAlias

from compliance.charts.descriptions import site_claim
from compliance.facts.dossier import (
    CourseFacts,
    Dossier,
    EarlierRun,
    EvaluationFacts,
    RobustFacts,
    RoundFacts,
    SiteFacts,
)
from compliance.facts.dossier.preregistration import CriterionResult, PreregistrationOutcome
from compliance.facts.figures import FigureKind
from compliance.facts.formatting import Cell, Format
from compliance.privacy.rounding import TWO_FIGURES
from compliance.reports.document import Columns, Table, table_of

#: So many exact figures of a hospital stand in the table; all of them are in JSON.
_EXACT = 3

SiteColumn: TypeAlias = tuple[str, Format, Callable[[SiteFacts], Cell]]


def sites_table(dossier: Dossier) -> Table:
    """Returns each hospital's figures; the exact ones only for a simulation."""
    figures = dossier.figures
    released: Columns[SiteFacts] = (
        ("Hospital", Format.TEXT, lambda s: s.site),
        *(_released_column(kind) for kind in dossier.site_kinds),
    )
    parts: Columns[SiteFacts] = (
        ("Training patients (simulation only)", Format.COUNT, lambda s: s.train_patients),
        ("Test patients (simulation only)", Format.COUNT, lambda s: s.test_patients),
    )
    exact: Columns[SiteFacts] = (
        *(_exact_column(kind) for kind in reversed(figures.pooled[:_EXACT])),
        *(parts if dossier.has_model else ()),
    )
    columns = (*released, *exact) if dossier.simulation else released
    return table_of("Figures at each hospital", dossier.sites, columns)


def _released_column(kind: FigureKind) -> SiteColumn:
    return f"{kind.label}, released", kind.form, lambda s: s.released.get(kind.name)


def _exact_column(kind: FigureKind) -> SiteColumn:
    return (f"{kind.label}, exact (simulation only)", kind.form, lambda s: s.exact.get(kind.name))


def privacy_table(dossier: Dossier) -> Table:
    """Returns what each hospital's patients pay in this run."""
    columns: Columns[SiteFacts] = (
        ("Hospital", Format.TEXT, lambda s: s.site),
        ("Unit", Format.TEXT, lambda s: s.privacy.unit),
        ("δ", Format.SMALL, lambda s: s.privacy.delta),
        ("ε, training", Format.EPSILON, lambda s: _epsilon(dossier, s.privacy.epsilon)),
        ("ε, test", Format.EPSILON, lambda s: _epsilon(dossier, s.privacy.evaluation_epsilon)),
        ("ε, at two hospitals", Format.EPSILON, lambda s: s.privacy.epsilon_two_hospitals),
        ("ε, two together", Format.EPSILON, lambda s: s.privacy.epsilon_group_of_two),
        ("ε, three together", Format.EPSILON, lambda s: s.privacy.epsilon_group_of_three),
        (
            "ε, training, if too many collude",
            Format.EPSILON,
            lambda s: s.privacy.fallback_epsilon or s.privacy.epsilon,
        ),
    )
    return table_of(
        "Privacy of this run at each hospital",
        dossier.sites,
        columns,
        note="At two hospitals: one patient who is treated at this hospital and at the dearest "
        "other one. Two and three together: the presence of so many patients of this hospital, "
        "such as a family; where the unit is a record, of so many records, such as one patient's.",
    )


def _epsilon(dossier: Dossier, claimed: float | None) -> float | str | None:
    """Returns what stands in a column of epsilons: of a run with test noise never a figure."""
    return "test noise" if dossier.test_noise else claimed


def mechanism_table(dossier: Dossier) -> Table:
    """Returns how each hospital's patients are protected in this run."""
    columns: Columns[SiteFacts] = (
        ("Hospital", Format.TEXT, lambda s: s.site),
        ("Noise multiplier", Format.NUMBER, lambda s: s.privacy.noise_multiplier),
        (
            "Noise multiplier, evaluation",
            Format.NUMBER,
            lambda s: s.privacy.evaluation_noise_multiplier,
        ),
        ("Sampling rate q", Format.NUMBER, lambda s: s.privacy.sampling_rate),
        ("Steps", Format.COUNT, lambda s: s.privacy.steps),
        ("Steps priced", Format.COUNT, lambda s: s.privacy.priced_steps),
        ("Clip", Format.NUMBER, lambda s: s.privacy.clip),
        ("Noise", Format.TEXT, lambda s: s.privacy.noise),
    )
    if dossier.bands > 1:  # a cycle of correlated noise is what is priced
        of_cycles = {
            "Sampling rate q": f"Sampling rate of a cycle of {dossier.bands} steps",
            "Steps priced": "Cycles priced",
        }
        columns = tuple((of_cycles.get(title, title), form, read) for title, form, read in columns)
    if not dossier.trains:
        counting: Columns[SiteFacts] = (
            ("Hospital", Format.TEXT, lambda s: s.site),
            ("Noise multiplier", Format.NUMBER, lambda s: s.privacy.evaluation_noise_multiplier),
            ("Releases priced", Format.COUNT, lambda s: s.privacy.priced_evaluations),
            ("Noise", Format.TEXT, lambda s: s.privacy.noise),
        )
        return table_of("Mechanism at each hospital", dossier.sites, counting)
    adaptive: Columns[SiteFacts] = (
        ("Noise multiplier that training feels", Format.NUMBER, lambda s: s.felt_multiplier),
    )
    if not any(site.felt_multiplier for site in dossier.sites):
        return table_of("Mechanism at each hospital", dossier.sites, columns)
    return table_of(
        "Mechanism at each hospital",
        dossier.sites,
        (*columns, *adaptive),
        note="The clip is adaptive, and the one shown is where it started. The noise multiplier "
        "is priced; what it also pays for, the count of patients within the clip, makes it more "
        "for training.",
    )


def second_opinion_table(dossier: Dossier) -> Table:
    """Returns what each hospital compared its gradients and its price with when it joined."""
    columns: Columns[SiteFacts] = (
        ("Hospital", Format.TEXT, lambda s: s.site),
        ("Gradients computed by", Format.TEXT, lambda s: s.privacy.engine),
        (
            "Distance from one backward per record",
            Format.SMALL,
            lambda s: s.privacy.engine_distance,
        ),
        ("Distance from Opacus' gradients", Format.SMALL, lambda s: s.privacy.opacus_distance),
        ("ε, training patient", Format.EPSILON, lambda s: s.privacy.epsilon),
        (
            "The same by Opacus' accountant, at most",
            Format.EPSILON,
            lambda s: s.privacy.opacus_epsilon,
        ),
        ("Opacus", Format.TEXT, lambda s: s.privacy.opacus),
        ("torch", Format.TEXT, lambda s: s.privacy.torch),
    )
    return table_of(
        "Second opinions, asked when each hospital joined",
        [site for site in dossier.sites if site.has_second_opinion],
        columns,
        note="Distances are parts of a gradient's norm, on drawn records with drawn parameters, in "
        "float64; above 1e-3 a hospital does not take part. A GPU that computes the gradients "
        "is named behind the engine; its float32 rounds otherwise than a processor's, and the "
        "bound of one patient is exact on both. Opacus' hooks do not compute every network: "
        "those have no distance from them. Opacus' accountant (PRV) errs by 0.02 at most; a "
        "hospital that claims less than it finds does not take part.",
    )


def budget_table(dossier: Dossier) -> Table:
    """Returns which part of its budget for life each hospital has booked, over all its runs."""
    columns: Columns[SiteFacts] = (
        ("Hospital", Format.TEXT, lambda s: s.site),
        ("ε of this run", Format.EPSILON, lambda s: _epsilon(dossier, site_claim(s))),
        ("Budget for life, ε", Format.EPSILON, lambda s: s.privacy.budget_epsilon),
        ("This run takes of it", Format.SHARE, lambda s: s.privacy.run_share),
        ("All runs have booked of it", Format.SHARE, lambda s: s.privacy.budget_share),
        ("Head of the hospital's ledger", Format.CODE, lambda s: s.privacy.ledger_head),
        ("Frozen cohort", Format.CODE, lambda s: s.privacy.cohort or None),
    )
    return table_of(
        "Budget for life at each hospital",
        dossier.sites,
        columns,
        note=f"As each hospital's ledger counted when it signed, at the end of this run. "
        f"{TWO_FIGURES} A frozen cohort is named by a random number: equal in two runs, both drew "
        "from the same records of the same patients, but for those who left since.",
    )


def rounds_table(dossier: Dossier) -> Table:
    """Returns every round: who took part, who dropped out, which model came of it."""
    group: Columns[RoundFacts] = (("Group", Format.COUNT, lambda r: r.group),)
    columns: Columns[RoundFacts] = (
        ("Round", Format.COUNT, lambda r: r.number),
        *(group if dossier.robust else ()),
        ("Attempt", Format.COUNT, lambda r: r.attempt + 1),
        ("Kind", Format.TEXT, lambda r: r.round_kind),
        ("State", Format.TEXT, lambda r: r.state),
        ("Opened at", Format.TIME, lambda r: r.opened_at),
        ("Took", Format.SECONDS, lambda r: r.seconds),
        ("In the sum", Format.TEXT, lambda r: ", ".join(r.survivors) or None),
        ("Dropped out", Format.TEXT, lambda r: ", ".join(r.dropped) or None),
        ("Bytes up", Format.COUNT, lambda r: r.bytes_up),
        ("Bytes down", Format.COUNT, lambda r: r.bytes_down),
        ("Remarks", Format.TEXT, lambda r: "; ".join(r.remarks) or None),
        ("Context", Format.CODE, lambda r: r.context),
        ("Model after it", Format.CODE, lambda r: r.model_digest),
    )
    note = (
        "Bytes are of all hospitals together, up what they sent and down what they were sent: "
        "messages and vectors, without the frames of HTTP and TLS."
    )
    return table_of("Rounds", dossier.rounds, columns, note=note)


def robust_table(robust: RobustFacts) -> Table:
    """Returns how each group's mean lay to what the rule gave, round by round."""
    columns: Columns[RoundFacts] = (
        ("Round", Format.COUNT, lambda r: r.number),
        ("Length of the update", Format.NUMBER, lambda r: r.norm),
        ("Cosine with the round before", Format.NUMBER, lambda r: r.direction),
        ("Group", Format.COUNT, lambda r: r.group),
        ("In its sum", Format.TEXT, lambda r: ", ".join(r.survivors)),
        ("Distance of its mean", Format.NUMBER, lambda r: r.distance),
        ("Far", Format.TEXT, lambda r: "yes" if robust.is_far(r) else "no"),
    )
    return table_of(
        "Groups under the robust rule",
        robust.rounds,
        columns,
        note="Far: more than three times as far from the update as the middle group. A group that "
        "is often far may be poisoned, or treat other patients than the rest; nothing here tells "
        "which.",
    )


def course_table(course: CourseFacts) -> Table:
    """Returns the headline figure of every evaluation, and where the run went on from."""
    columns: Columns[EvaluationFacts] = (
        ("After round", Format.COUNT, lambda e: e.rounds),
        (f"{course.figure.label}, released", course.figure.form, lambda e: e.released),
        ("Hospitals", Format.COUNT, lambda e: len(e.survivors)),
        (
            "Rolled back to the model after round",
            Format.COUNT,
            lambda e: e.goes_on if e.is_taken_back else None,
        ),
        ("Model", Format.CODE, lambda e: e.model_digest),
    )
    return table_of("Evaluations", course.evaluations, columns)


def clips_table(dossier: Dossier) -> Table:
    """Returns the adaptive clip of every attempt of a training round."""
    columns: Columns[RoundFacts] = (
        ("Round", Format.COUNT, lambda r: r.number),
        ("Attempt", Format.COUNT, lambda r: r.attempt + 1),
        ("Clip", Format.NUMBER, lambda r: r.clip),
    )
    clipped = [round_ for round_ in dossier.rounds if round_.clip is not None]
    return table_of("Clip by round", clipped, columns)


def criteria_table(said: PreregistrationOutcome) -> Table:
    """Returns the criteria of a preregistration, what decided each, and how."""
    columns: Columns[CriterionResult] = (
        ("Criterion", Format.TEXT, lambda one: one.criterion.name),
        ("Asked for", Format.TEXT, lambda one: one.asked),
        ("Verdict", Format.TEXT, lambda one: one.verdict.value),
        ("Why", Format.TEXT, lambda one: one.why),
    )
    return table_of(
        "Criteria of success",
        said.criteria,
        columns,
        note="Decided by released figures alone. By its interval: the whole 95 % interval must "
        "reach the threshold. What is withheld or not released decides nothing.",
    )


def earlier_runs_table(said: PreregistrationOutcome) -> Table:
    """Returns the runs that began before a preregistered one, of related studies."""
    columns: Columns[EarlierRun] = (
        ("Run", Format.CODE, lambda one: one.run_id),
        ("Study", Format.TEXT, lambda one: f"{one.study_name} {one.study_digest[:16]}"),
        ("Related as", Format.TEXT, lambda one: one.relation.value),
        ("State", Format.TEXT, lambda one: one.state),
        ("Began", Format.TIME, lambda one: one.started_at),
        ("Figures released", Format.TIME, _released_time),
        ("Same test patients", Format.TEXT, lambda one: "yes" if one.same_patients else "no"),
    )
    return table_of("Earlier runs", said.facts.earlier, columns)


def _released_time(one: EarlierRun) -> str | None:
    return None if one.released is None else one.released.time
