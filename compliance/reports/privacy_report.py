"""The privacy report that a compliance officer signs.

It is a function of one frozen dossier and nothing else, as the public page of the run is, so that
two reports of one run cannot disagree. Contents: after NIST SP 800-226. A report supports a
review; it never certifies.
"""

from compliance.facts.dossier import Dossier
from compliance.facts.formatting import Format
from compliance.facts.training_description import training_description
from compliance.reports.document import Document, Fact, Facts, Section, Statement
from compliance.reports.sections import privacy, statements
from compliance.reports.sections import run as run_parts
from compliance.reports.sections.results import report_results

SUPPORTS = (
    "This report supports a compliance review; it never certifies. It states what the software "
    "recorded and what follows from it. Whether that satisfies a law, a contract or an ethics "
    "board is for the people who sign to judge."
)


def privacy_report(dossier: Dossier) -> Document:
    """Returns the privacy statement, run record and audit entries for the compliance officer."""
    return Document(
        kind="privacy-report",
        title="Privacy statement and run record",
        subtitle=dossier.study_title,
        banner=_verified_banner(dossier),
        sections=(
            _identity(dossier),
            privacy.claim_section(dossier),
            privacy.per_hospital_section(dossier),
            privacy.not_covered_section(dossier),
            privacy.aggregation_section(dossier),
            *report_results(dossier),
            run_parts.rounds_section(dossier),
            run_parts.audit_section(dossier),
            run_parts.environment_section(dossier),
        ),
        footer=(SUPPORTS, statements.made_from(dossier)),
    )


def _verified_banner(dossier: Dossier) -> tuple[Statement, ...]:
    """Returns the banner with what came of verifying; faults come before everything else."""
    banner, said = statements.banner(dossier), statements.verification(dossier)
    is_faulty = dossier.verification is not None and dossier.verification.faults
    return (said, *banner) if is_faulty else (*banner, said)


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
