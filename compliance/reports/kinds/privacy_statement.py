"""The privacy statement: the pyramid of NIST SP 800-226 walked, each named hazard answered.

It is a function of its subject and nothing else. The pyramid stands on data collection and
security, holds algorithms and trust in its middle, and the guarantee (privacy loss and unit) on
top; each hazard is present, controlled by, or residual.
"""

from compliance.facts.dossier import Dossier
from compliance.facts.formatting import Format
from compliance.facts.training_description import training_description
from compliance.reports.basis import Claims, ReportClaim
from compliance.reports.document import Document, Fact, Facts, Section
from compliance.reports.evidence import ReportSubject
from compliance.reports.evidence.controls import GDPR, HIPAA, NIST
from compliance.reports.kinds.parts import (
    KindText,
    all_entries,
    of_the_method,
    report,
    with_basis,
)
from compliance.reports.kinds.run_claims import (
    course_claims,
    plan_claims,
    privacy_claims,
    red_team_claims,
)
from compliance.reports.sections import privacy
from compliance.reports.sections import run as run_parts
from compliance.reports.sections.results import report_results

PRIVACY_STATEMENT = KindText(
    name="privacy-statement",
    title="Privacy statement",
    question="What is claimed about patients' privacy, on what does it rest, what is left?",
    texts=(NIST, GDPR, HIPAA),
)
#: Words of the claim that mean the same in every run.
_DEFINED = frozenset({"Adjacency", "δ", "Accounting"})
#: Sections in full only for so many runs; a report of more has their statements.
_MOST_WHOLE = 3


def privacy_statement(subject: ReportSubject) -> Document:
    """Returns the privacy statement of a run, or of several."""
    sections: list[Section] = [_pyramid(subject)]
    for dossier in subject.dossiers:
        claims = (
            plan_claims(subject, dossier),
            _identity(dossier),
            privacy_claims(subject, dossier),
            course_claims(subject, dossier),
        )
        title = "The run" if subject.single else f"Run {dossier.run_id}"
        sections.append(Section(key=f"run-{dossier.run_id}", title=title, blocks=claims))
        if len(subject.dossiers) <= _MOST_WHOLE:
            sections += _whole(subject, dossier)
    sections.append(of_the_method(_not_covered(subject), subject))
    return report(PRIVACY_STATEMENT, subject, sections)


def _whole(subject: ReportSubject, dossier: Dossier) -> list[Section]:
    """Returns the sections of a run with their tables; their prose stands as statements."""
    run = dossier.run_id
    signed = subject.entries(run, "approvals", "settlements")
    return [
        with_basis(privacy.claim_section(dossier), subject, signed, _DEFINED),
        with_basis(privacy.per_hospital_section(dossier), subject, signed),
        with_basis(
            privacy.aggregation_section(dossier),
            subject,
            subject.entries(run, "round-opened", "survivors", "masked-blobs"),
        ),
        *(
            with_basis(section, subject, subject.entries(run, "release", "exact-figures"))
            for section in report_results(dossier)
        ),
        with_basis(run_parts.rounds_section(dossier), subject, all_entries(subject, dossier)),
        with_basis(
            run_parts.environment_section(dossier),
            subject,
            subject.entries(run, "run-started", "run-finished"),
        ),
        with_basis(
            run_parts.reproducibility_section(dossier), subject, subject.entries(run, "manifest")
        ),
    ]


def _not_covered(subject: ReportSubject) -> Section:
    return privacy.not_covered_section(subject.dossiers[-1])


def _pyramid(subject: ReportSubject) -> Section:
    """Returns the hazards of SP 800-226, from the top of its pyramid down."""
    return Section(
        key="pyramid",
        title="The pyramid of NIST SP 800-226, from its top down",
        blocks=(
            Claims(title="The guarantee: privacy loss and unit", items=_top(subject)),
            Claims(
                title="Algorithms, utility, bias, trust",
                items=_middle(subject),
            ),
            red_team_claims(subject),
            Claims(title="Security and data collection", items=_ground(subject)),
        ),
    )


_LOST = {
    "why": "a run claims no differential privacy, or no hospital signed one",
    "remedy": "set privacy.mode per_site or distributed in the study",
}


def _controlled(
    subject: ReportSubject, topic: str, how: str, residual: str, *types: str
) -> ReportClaim:
    """Returns a hazard with what controls it, as entries of protected runs show; else missing."""
    protected = all(one.protected for one in subject.dossiers) and bool(subject.dossiers)
    entries = subject.all_entries(*types) if protected else ()
    text = f"Controlled by: {how} Residual: {residual}" if entries else "Present, not controlled."
    return subject.evidenced(f"Hazard: {topic}", text, entries, **_LOST)


def _top(subject: ReportSubject) -> tuple[ReportClaim, ...]:
    joined = ("approvals",)
    return (
        _controlled(
            subject, "a large privacy loss, or one that nobody states",
            "every hospital signs ε and δ of its own patients before the run.",
            "what ε means for a person is for people to judge; it bounds a ratio, not a harm.",
            *joined,
        ),
        _controlled(
            subject, "a δ that lets privacy fail",
            "δ is stated beside each ε and below one over the number of patients.",
            "with probability δ the bound does not hold.", *joined,
        ),
        _controlled(
            subject, "a unit of privacy smaller than a person",
            "each hospital signs what a patient is there, and whether that is a person.",
            "a patient of several hospitals pays more; the table says how much for two.", *joined,
        ),
        _controlled(
            subject, "contributions without bound",
            "one clipped gradient for each patient, whatever the number of records.",
            "a group of patients, such as a family, pays more; two and three have columns.",
            *joined,
        ),
        _mixing(subject),
    )  # fmt: skip


def _mixing(subject: ReportSubject) -> ReportClaim:
    """Returns whether what is released without noise stands beside private releases."""
    runs = [one for one in subject.dossiers if one.unprotected_runs or one.simulation]
    entries = subject.all_entries("exact-figures", "release")
    if runs:
        text = (
            "Present: in a simulation exact figures are kept, and runs without privacy may use "
            "the same records. Controlled by: they are marked simulation only, and a real "
            "hospital refuses them. Residual: whoever has this folder has them."
        )
    else:
        text = (
            "Controlled by: every figure that left was released with noise and paid for; the "
            "hospitals keep no exact figure at the coordinator. Residual: what a hospital "
            "publishes by itself."
        )
    return subject.evidenced(
        "Hazard: private releases beside others",
        text,
        entries,
        why="nothing was released",
        remedy="none is due before a release",
    )


def _middle(subject: ReportSubject) -> tuple[ReportClaim, ...]:
    return (
        _controlled(
            subject, "bounds that are chosen by looking at records",
            "clip, ranges and normalisation stand in the registered study.",
            "an adaptive clip, where the study asks for one, is paid for.",
            "study-registered", "approvals",
        ),
        _controlled(
            subject, "loss that is not counted (tuning, evaluation, repeated runs)",
            "evaluation is priced like training, and a hospital's ledger sums all runs for life.",
            "another institution that uses the same patients counts for itself.",
            "approvals", "settlements", "ledger-heads",
        ),
        _controlled(
            subject, "figures that are wrong for small groups",
            "released figures have intervals over noise and sampling, and too few patients are "
            "said instead of a figure.",
            "noise costs accuracy where patients are few: see figures by hospital and group.",
            "release",
        ),
        _controlled(
            subject, "a curator who must be trusted",
            "the coordinator gets masked vectors and learns sums alone.",
            "in mode distributed the claim rests on the secure sum: see trust model.",
            "masked-blobs", "sum",
        ),
        subject.of_the_method(
            "Hazard: floating-point arithmetic",
            "Controlled by: sums are of integers, norms are checked exactly and noise is an exact "
            "discrete Gaussian. Residual: gradients are computed in floating point before they "
            "are clipped and rounded.",
        ),
        subject.of_the_method(
            "Hazard: weak random numbers",
            "Controlled by: noise comes from the operating system's generator, and its keys are "
            "not stored. Residual: a machine whose generator is broken.",
        ),
        subject.of_the_method(
            "Hazard: timing and other side channels",
            "Controlled by: a hospital does the same work in every step, whoever was drawn. "
            "Residual: a processor's caches on a shared machine.",
        ),
        subject.of_the_method(
            "Hazard: faults of the software",
            "Controlled by: a second accountant and engine are compared when a hospital joins, "
            "where its table of second opinions says so. Residual: a fault that both share.",
        ),
    )  # fmt: skip


def _ground(subject: ReportSubject) -> tuple[ReportClaim, ...]:
    return (
        subject.declared("access_control", "Hazard: access to records and machines"),
        subject.declared("security_measures", "Hazard: a breach of a hospital's systems"),
        subject.evidenced(
            "Hazard: changed records of what was done",
            "Controlled by: every write is an entry of a signed log. Residual: whoever holds the "
            "log's key can write a new one; heads that hospitals keep show it.",
            subject.last,
            why="the log holds no entry",
            remedy="run the study first",
        ),
        subject.declared("data_provenance", "Hazard: exposure where records are collected"),
    )


def _identity(dossier: Dossier) -> Facts:
    """Returns the run's identity and settings, as the log and the registered study have them."""
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
        Fact(label="Snapshot signed by", value=_signed_by(dossier)),
    )  # fmt: skip
    return Facts(title="What was run", rows=rows)


def _signed_by(dossier: Dossier) -> str | None:
    """Returns by how many hospitals the model's snapshot is signed; None where it has none."""
    signed = dossier.signed
    if signed is None:
        return None
    return f"{len(signed.signed_by)} of {signed.hospitals} hospitals, {signed.quorum} must"
