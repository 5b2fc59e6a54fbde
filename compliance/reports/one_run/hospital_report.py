"""Report of one hospital about one run, from its own records, for its own officer.

A coordinator's report is about a run of all hospitals. This one is made inside
a hospital, of what it approved, booked, signed and received, and of nothing
else: it needs no coordinator and believes none.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from compliance.estimates.interval import Interval
from compliance.facts.figures import figure_kind
from compliance.facts.formatting import Format, show
from compliance.privacy.claims import correlated_noise, if_more_collude, while_few_collude
from compliance.privacy.rounding import TWO_FIGURES
from compliance.reports.document import (
    Bullets,
    Column,
    Document,
    Fact,
    Facts,
    Paragraph,
    Section,
    Signatures,
    SigningPlace,
    Statement,
    Table,
    Tone,
)

_STATES = {
    "joined": ("The run is under way here.", Tone.CAUTION),
    "finished": ("The run has reached its end.", Tone.PLAIN),
    "ended": ("The run has ended without a result.", Tone.PLAIN),
    "left": ("This hospital ended its part in the run.", Tone.PLAIN),
    "refused": ("This hospital did not join the run.", Tone.PLAIN),
}

_PAYERS = {
    "training": "training patients",
    "evaluation": "test patients",
    "both": "every patient",
}

#: Whether the budget knows of every run that has used the patients' records.
_REAL = "A real hospital refuses every study without differential privacy: none is left out here."
_SIMULATED = (
    "A simulated hospital also takes part in studies without differential privacy. They cost no "
    "budget, and nothing bounds what they show."
)


@dataclass(frozen=True, kw_only=True)
class ApprovalFacts:
    """One decision about the study, as it was typed and signed in the hospital."""

    decision: str
    approver: str
    decided_at: str
    runs: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class CostFacts:
    """The amounts that a run booked for its training or for its evaluation.

    ``payers`` says whose patients pay: training, evaluation, or both. ``epsilon`` is
    what the study promises for this run; shares are parts of the budget for life.
    ``spent_by_all`` and ``remaining`` count every run of this hospital.
    """

    round_kind: str
    payers: str
    epsilon: float | None
    share_reserved: float
    share_sent: float
    is_open: bool
    spent_by_all: float
    remaining: float


@dataclass(frozen=True, kw_only=True)
class ReleaseFacts:
    """One masked vector that left: the ledger's entry, and digests of round and bytes."""

    number: int
    sent_at: str
    round_kind: str
    context: str
    blob: str
    is_paid_here: bool


@dataclass(frozen=True, kw_only=True)
class PlanFacts:
    """The study's promise to this hospital's patients; see ``compliance.ledger.privacy_plan``."""

    unit: str
    mode: str
    delta: float
    epsilon: float
    evaluation_epsilon: float
    epsilon_two_hospitals: float | None  # these three are None in a list of runs
    epsilon_group_of_two: float | None
    epsilon_group_of_three: float | None
    fallback_epsilon: float | None


@dataclass(frozen=True, kw_only=True)
class StudyFacts:
    """The study that was run, as this hospital keeps its document."""

    name: str
    title: str
    purpose: str
    sites: tuple[str, ...]
    threshold: int
    colluders: int
    bands: int = 1
    training: tuple[tuple[str, str], ...] = ()  # as ``training_description`` gives it
    plan: PlanFacts | None


@dataclass(frozen=True, kw_only=True)
class CohortFacts:
    """The frozen cohort that a run drew from; ``has_left``: patients left it since."""

    version: int
    frozen_at: str
    frozen_by: str
    digest: str
    contract: str
    source: str
    source_sha256: str
    has_left: bool


@dataclass(frozen=True, kw_only=True)
class ResultFacts:
    """The result of a run as the coordinator signed it; ``about_model``: whether it is here.

    ``about_figures`` says whose test patients, and by which models, the figures are of;
    ``has_own_model`` whether the run left this hospital a model of its own.
    """

    model: str
    about_model: str
    about_figures: str = "of all hospitals' test patients together"
    has_own_model: bool = False
    figures: Mapping[str, Interval]  # released, by name; the headline first


@dataclass(frozen=True, kw_only=True)
class HospitalRun:
    """One run in one hospital, whole.

    ``study`` is None where its document is not kept here, ``result`` where no end of the
    run was signed that has one, ``cohort`` where the run drew from none.
    """

    site: str
    simulated: bool
    run_id: str
    state: str  # joined | finished | ended | left | refused
    joined_at: str
    changed_at: str
    left_by: str | None
    left_because: str | None
    study_digest: str
    study: StudyFacts | None
    approvals: tuple[ApprovalFacts, ...]
    costs: tuple[CostFacts, ...]
    releases: tuple[ReleaseFacts, ...]
    cohort: CohortFacts | None
    result: ResultFacts | None
    budget_epsilon: float | None
    budget_delta: float | None
    ledger_head: str
    ledger_entries: int
    log_size: int
    log_root: str


def hospital_report(run: HospitalRun, checked: Statement) -> Document:
    """Returns the report of one run for the hospital's own officer.

    Args:
        run: the facts.
        checked: what the verification that came before it found.
    """
    return Document(
        kind="hospital-report",
        title=f"{run.site} in run {run.run_id}",
        subtitle=run.study.title if run.study else f"study {run.study_digest}",
        banner=(_state(run), _claim(run), checked),
        sections=(
            _what_was_run(run),
            _approvals(run),
            _costs(run),
            _releases(run),
            _cohort(run),
            _came_back(run),
            _log(run),
            _not_here(run),
            _signatures(run),
        ),
        footer=(
            "This report supports a compliance review; it never certifies. It states what this "
            "hospital's own records say.",
        ),
        dated=max(run.joined_at, run.changed_at),
    )


def _signatures(run: HospitalRun) -> Section:
    """Returns a place to sign for each person who approved, or for two who are named by hand."""
    names = sorted({one.approver for one in run.approvals if one.decision == "approved"})
    places = tuple(SigningPlace(name=name) for name in names) or (SigningPlace(),) * 2
    block = Signatures(title="Read and signed", places=places)
    return Section(key="signatures", title="Signatures", blocks=(block,))


def _state(run: HospitalRun) -> Statement:
    text, tone = _STATES.get(run.state, (f"The run is {run.state}.", Tone.CAUTION))
    detail = f"Asked for at {show(run.joined_at, Format.TIME)}, {run.state} at " + show(
        run.changed_at, Format.TIME
    )
    if run.left_by:
        because = f": {run.left_because}" if run.left_because else ""
        detail += f"; ended by {run.left_by}, of this hospital{because}"
    return Statement(text=text, detail=f"{detail}.", tone=tone)


def _claim(run: HospitalRun) -> Statement:
    if run.simulated:
        return Statement(
            text="No privacy is claimed: this is a simulated hospital.",
            detail="Its noise may be fixed, for tests.",
            tone=Tone.BAD,
        )
    plan = run.study.plan if run.study else None
    if plan is None or run.study is None:
        return Statement(
            text="No privacy is claimed: the study's document is not kept here, or promises none.",
            tone=Tone.BAD,
        )
    if not run.releases:
        return Statement(
            text="Nothing left this hospital in this run.", detail="No patient paid for it."
        )
    worst = max(plan.epsilon, plan.evaluation_epsilon)
    unit = "one patient's records" if plan.unit == "patient" else "one single record"
    shared = ""
    if plan.fallback_epsilon is not None:
        shared = (
            f" The noise of training is shared: this holds {while_few_collude(run.study.colluders)}"
            f"; {if_more_collude(run.study.colluders)}, epsilon "
            f"{show(plan.fallback_epsilon, Format.EPSILON)}."
        )
    shared += correlated_noise(run.study.bands)
    return Statement(
        text=f"At most epsilon {show(worst, Format.EPSILON)} at delta "
        f"{show(plan.delta, Format.SMALL)} for the presence of {unit}.",
        detail=f"It counts the whole plan, whether all of it was sent or not.{shared} A patient "
        "who is treated at the dearest other hospital too pays epsilon "
        f"{show(plan.epsilon_two_hospitals, Format.EPSILON)}; two patients of this hospital "
        f"together {show(plan.epsilon_group_of_two, Format.EPSILON)}, three "
        f"{show(plan.epsilon_group_of_three, Format.EPSILON)}.",
        tone=Tone.GOOD,
    )


def _what_was_run(run: HospitalRun) -> Section:
    study = run.study
    others = [site for site in study.sites if site != run.site] if study else []
    rows = (
        Fact(label="Study", value=f"{study.title} ({study.name})" if study else None),
        Fact(label="Purpose", value=" ".join(study.purpose.split()) if study else None),
        Fact(label="Study digest", value=run.study_digest, form=Format.CODE),
        Fact(label="Run", value=run.run_id, form=Format.CODE),
        Fact(label="With", value=", ".join(others) or None),
        Fact(label="Hospitals in every sum, at least", value=study.threshold if study else None,
             form=Format.COUNT),
        Fact(label="Mode of privacy", value=study.plan.mode if study and study.plan else None),
        *(Fact(label=heading.capitalize(), value=words)
          for heading, words in (study.training if study else ())),
    )  # fmt: skip
    return Section(key="run", title="What was run", blocks=(Facts(title="Run", rows=rows),))


def _approvals(run: HospitalRun) -> Section:
    table = Table(
        title="Decisions about this study",
        columns=(
            Column(title="Decision"),
            Column(title="By"),
            Column(title="When", form=Format.TIME),
            Column(title="For runs up to number", form=Format.COUNT),
            Column(title="Reason"),
        ),
        rows=tuple((a.decision, a.approver, a.decided_at, a.runs, a.reason) for a in run.approvals),
        note="Names are as they were typed at this hospital's machine. The software does not know "
        "who typed: who may use that account is for the hospital to decide.",
    )
    return Section(key="approvals", title="Who approved it", blocks=(table,))


def _costs(run: HospitalRun) -> Section:
    facts = Facts(
        title="Life-long budget of each patient",
        rows=(
            Fact(label="Epsilon", value=run.budget_epsilon, form=Format.EPSILON),
            Fact(label="Delta", value=run.budget_delta, form=Format.SMALL),
            Fact(label="Entries of the ledger", value=run.ledger_entries, form=Format.COUNT),
            Fact(label="Head of the ledger", value=run.ledger_head, form=Format.CODE),
        ),
    )
    table = Table(
        title="What this run cost",
        columns=(
            Column(title="For"),
            Column(title="Charged to"),
            Column(title="Epsilon promised", form=Format.EPSILON),
            Column(title="Part of the budget reserved", form=Format.SHARE),
            Column(title="Part sent", form=Format.SHARE),
            Column(title="Plan"),
            Column(title="Spent by all runs", form=Format.SHARE),
            Column(title="Left", form=Format.SHARE_LEFT),
        ),
        rows=tuple(
            (
                cost.round_kind,
                _PAYERS[cost.payers],
                cost.epsilon,
                cost.share_reserved,
                cost.share_sent,
                "open" if cost.is_open else "closed: the rest is free again",
                cost.spent_by_all,
                cost.remaining,
            )
            for cost in run.costs
        ),
        note=f"{TWO_FIGURES} " + (_SIMULATED if run.simulated else _REAL),
    )
    return Section(key="cost", title="What the patients paid", blocks=(facts, table))


def _releases(run: HospitalRun) -> Section:
    table = Table(
        title="Releases",
        columns=(
            Column(title="Ledger entry", form=Format.COUNT),
            Column(title="Sent", form=Format.TIME),
            Column(title="Kind"),
            Column(title="Context of the round", form=Format.CODE),
            Column(title="Masked bytes", form=Format.CODE),
            Column(title="Charged"),
        ),
        rows=tuple(
            (
                release.number,
                release.sent_at,
                release.round_kind,
                release.context,
                release.blob,
                "yes" if release.is_paid_here else "no: the same noised vector as before",
            )
            for release in run.releases
        ),
        note="Each was booked before its first byte left. Booked is what may have left: a line "
        "that was cut then is charged all the same.",
    )
    return Section(key="releases", title="What left this hospital", blocks=(table,))


def _cohort(run: HospitalRun) -> Section:
    cohort = run.cohort
    rows = (
        Fact(label="Version", value=cohort.version if cohort else None, form=Format.COUNT),
        Fact(label="Frozen at", value=cohort.frozen_at if cohort else None, form=Format.TIME),
        Fact(label="Frozen by", value=cohort.frozen_by if cohort else None),
        Fact(label="Digest", value=cohort.digest if cohort else None, form=Format.CODE),
        Fact(label="Contract", value=cohort.contract if cohort else None, form=Format.CODE),
        Fact(label="Read from", value=cohort.source if cohort else None),
        Fact(label="Its SHA-256", value=cohort.source_sha256 if cohort else None, form=Format.CODE),
        Fact(label="Patients left since", value=_left(cohort)),
    )
    text = Paragraph(
        text="The digest is of keyed hashes of patients and records: only this hospital can make "
        "it. Who left is drawn by no later step; what was sent before, and every model made of "
        "it, stays as it is."
    )
    return Section(
        key="cohort",
        title="The frozen cohort",
        blocks=(Facts(title="Of this hospital", rows=rows), text),
    )


def _left(cohort: CohortFacts | None) -> str | None:
    if cohort is None:
        return None
    return "some" if cohort.has_left else "nobody"


def _came_back(run: HospitalRun) -> Section:
    result = run.result
    named = {figure_kind(name): found for name, found in (result.figures if result else {}).items()}
    facts = Facts(
        title="As the coordinator signed it at the run's end",
        rows=(
            Fact(label="Final model", value=result.model if result else None, form=Format.CODE),
            Fact(label="At this hospital", value=result.about_model if result else None),
            *(Fact(label=f"{kind.label} released", value=found, form=kind.form)
              for kind, found in named.items()),
        ),
    )  # fmt: skip
    own = (
        " It left this hospital a model of its own too, which stays here."
        if (result and result.has_own_model)
        else ""
    )
    whose = result.about_figures if result else "of all hospitals' test patients together"
    text = Paragraph(
        text=f"Figures are {whose}, and noised.{own} What a model "
        "is worth here, collegium silo results says; those figures are exact and in no report."
    )
    return Section(key="result", title="What came back", blocks=(facts, text))


def _log(run: HospitalRun) -> Section:
    facts = Facts(
        title="Newest head of the coordinator's log that this hospital holds",
        rows=(
            Fact(label="Entries", value=run.log_size or None, form=Format.COUNT),
            Fact(label="Root", value=run.log_root or None, form=Format.CODE),
        ),
    )
    text = Paragraph(
        text="The coordinator's own records can be held to this head, by anybody who has its "
        "folder: collegium silo log writes the signed note."
    )
    return Section(key="log", title="The coordinator's log", blocks=(facts, text))


def _not_here(run: HospitalRun) -> Section:
    items = (
        ("Figures of other hospitals", "They stand in the coordinator's records."),
        ("The other hospitals", "Each keeps its own ledger and approvals."),
        ("Records", "The records themselves are not part of this report, nor are exact counts."),
    )  # fmt: skip
    return Section(key="not-here", title="What is not here", blocks=(Bullets(items=items),))
