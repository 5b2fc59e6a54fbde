"""The preregistration in reports and on the run's page: outcome, deviations, and their basis."""

from dataclasses import replace

from compliance.facts.dossier import DeclaredDeviation, LoggedMoment, RegistrationFacts, Relation
from compliance.reports.basis import Declared, Evidenced, Missing
from compliance.reports.document import Document, claims_of
from compliance.reports.kinds import KINDS
from compliance.reports.one_run.run_page import run_page
from compliance.reports.renderers import render_html, render_json
from tests.support.simulated import dossiers
from tests.support.simulated.reports import subject_of
from tests.unit.compliance.facts.test_preregistration import BEFORE, earlier, planned

SAID = DeclaredDeviation(
    at="2026-11-22T08:00:00.000Z", person="Cleo Lead", role="lead", text="Another scanner.",
    act="a" * 64, entry=LoggedMoment(index=40, time="2026-11-22T08:00:00.000Z"),
)  # fmt: skip
FACTS = RegistrationFacts(
    registered=BEFORE, earlier=(earlier("run-0", Relation.SAME_STUDY),), declared=(SAID,)
)
RELEASED = dossiers.audit(
    ("study-registered", "roster", "run-started", "approvals", "round-opened", "release")
)


def report(kind: str, **changes: object) -> Document:
    return KINDS[kind].make(subject_of(planned(audit=RELEASED, **changes)))


def test_the_study_dossier_says_what_was_decided_and_what_was_done_otherwise() -> None:
    made = report("study-dossier", registration=FACTS)
    claims = {claim.topic: claim for claim in claims_of(made)}
    primary = claims["Primary hypothesis discriminates"]
    assert primary.text.endswith("This run: supported.")
    assert isinstance(primary.basis, Evidenced)
    assert claims["Declared"].basis == Declared(by="Cleo Lead", on="2026-11-22")
    assert "before it: run-0 of heart" in claims["Found in the records"].text
    text = render_html(made)
    assert "Criteria of success" in text and "Earlier runs" in text


def test_a_hypothesis_that_nothing_decides_is_missing() -> None:
    made = report("study-dossier", released={"accuracy": dossiers.interval(0.8, 0.1)})
    (claim,) = [one for one in claims_of(made) if one.topic.startswith("Primary hypothesis")]
    assert claim.text.endswith("cannot be decided.") and isinstance(claim.basis, Missing)


def test_a_report_without_preregistration_has_no_such_section() -> None:
    made = KINDS["study-dossier"].make(subject_of(dossiers.finished()))
    assert "reregistration" not in render_json(made).replace("preregistration of", "")


def test_model_card_and_page_give_the_outcome() -> None:
    assert "This run: supported." in render_html(report("model-card"))
    page = render_html(run_page(replace(planned(), registration=FACTS), ()))
    assert "Primary hypothesis discriminates: supported" in page
    assert "Another scanner. (Cleo Lead (lead), 2026-11-22T08:00:00Z" in page
