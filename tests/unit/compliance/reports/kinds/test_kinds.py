"""Reports that people sign: every sentence has a basis, and what nobody said is missing."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

from compliance.facts.dossier import ActFacts, Dossier, LogVerification, RedTeamFacts
from compliance.reports.basis import (
    Claims,
    ControlState,
    Counts,
    Declared,
    Evidenced,
    Missing,
    basis_text,
)
from compliance.reports.declarations import Declarations, read_declarations
from compliance.reports.document import (
    Bullets,
    Document,
    Facts,
    Figure,
    Listing,
    Paragraph,
    Table,
    Tone,
    claims_of,
    counts_of,
    tables,
)
from compliance.reports.evidence import AUTHORS, ReportSubject
from compliance.reports.kinds import KINDS
from compliance.reports.renderers import render_csv, render_html, render_json, render_oscal
from protocol.transport.privacy_summary import NamedApproval
from tests import ROOT
from tests.support.simulated import dossiers
from tests.support.simulated.reports import subject_of

SAMPLES = [
    dossiers.finished, dossiers.without_privacy, dossiers.failed, dossiers.running,
    dossiers.statistics, dossiers.with_groups,
]  # fmt: skip
EXAMPLE = ROOT / "examples" / "heart-disease" / "consortium.yaml"


def declarations() -> Declarations:
    """The example's, and an approval for each hospital of the sample."""
    found = read_declarations(EXAMPLE.read_text(encoding="utf-8"), EXAMPLE.name)
    sites = [one.site for one in dossiers.finished().sites]
    approvals = tuple(found.approvals[0].model_copy(update={"hospital": one}) for one in sites)
    return found.model_copy(update={"approvals": (*found.approvals, *approvals)})


def report(kind: str, *given: Dossier, **more: object) -> Document:
    return KINDS[kind].make(subject_of(*(given or (dossiers.finished(),)), **more))  # type: ignore[arg-type]


def statement_of(document: Document, topic: str) -> str:
    (found,) = [c for c in claims_of(document) if c.topic == topic]
    return f"{found.text} | {basis_text(found.basis)}"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", SAMPLES)
def test_every_sentence_has_a_basis(kind: str, make: Callable[[], Dossier]) -> None:
    subject = subject_of(make(), declarations=declarations())
    document = KINDS[kind].make(subject)
    known = {entry.index for entry in subject.facts.log.entries}
    for section in document.sections:
        assert not [b for b in section.blocks if isinstance(b, Paragraph | Bullets)], section.key
    for claim in claims_of(document):
        assert claim.topic and claim.text
        match claim.basis:
            case Evidenced():
                assert set(claim.basis.entries) <= known, claim
            case Declared():
                assert claim.basis.by and claim.basis.on
            case Missing():
                assert claim.basis.why and claim.basis.remedy


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_follows_statements_that_name_its_entries(kind: str) -> None:
    document = report(kind)
    summing = {"controls", "missing", "audit", "signatures", "front-matter"}
    for section in document.sections:
        drawn = [b for b in section.blocks if isinstance(b, Table | Facts | Figure)]
        if drawn and section.key not in summing:
            assert any(isinstance(b, Claims) for b in section.blocks), section.key


@pytest.mark.parametrize("kind", KINDS)
def test_page_one_counts_what_the_document_holds(kind: str) -> None:
    document = report(kind, declarations=declarations())
    kinds = [type(claim.basis) for claim in claims_of(document)]
    found = Counts(
        evidenced=kinds.count(Evidenced),
        declared=kinds.count(Declared),
        missing=kinds.count(Missing),
    )
    assert f"{found}." in [statement.text for statement in document.banner]
    assert json.loads(render_json(document))["counts"] == {
        "evidenced": found.evidenced,
        "declared": found.declared,
        "missing": found.missing,
    }


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_missing_is_listed_with_what_to_do(kind: str) -> None:
    document = report(kind)
    lacking = [c for c in claims_of(document) if isinstance(c.basis, Missing)]
    rows = [t.rows for _, t in tables(document) if t.title == "Missing statements"]
    assert lacking and [row[0] for row in rows[0]] == [claim.topic for claim in lacking]
    assert all(row[1] and row[2] for row in rows[0])


@pytest.mark.parametrize("kind", KINDS)
def test_each_part_that_is_declared_is_one_that_is_missing_no_more(kind: str) -> None:
    without, with_all = report(kind), report(kind, declarations=declarations())
    before, after = counts_of(without), counts_of(with_all)
    assert before.evidenced == after.evidenced
    assert after.missing < before.missing and after.declared > before.declared


@pytest.mark.parametrize("kind", KINDS)
def test_the_form_is_the_published_one(kind: str) -> None:
    schema = json.loads((ROOT / "docs" / "report.schema.json").read_text())
    for make in (dossiers.finished, dossiers.failed, dossiers.statistics):
        document = report(kind, make(), declarations=declarations())
        jsonschema.Draft202012Validator(schema).validate(json.loads(render_json(document)))


def test_the_schema_refuses_a_statement_without_a_basis() -> None:
    schema = json.loads((ROOT / "docs" / "report.schema.json").read_text())
    whole = json.loads(render_json(report("model-card")))
    (section,) = [s for s in whole["sections"] if s["key"] == "uses"]
    del section["blocks"][0]["items"][0]["basis"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(whole)


@pytest.mark.parametrize("kind", KINDS)
def test_assessment_results_are_of_oscals_form(kind: str) -> None:
    """The schema is made from compliance-trestle 5.2.0's models of NIST's OSCAL 1.2.1."""
    path = Path(__file__).parent / "oscal_assessment_results.schema.json"
    whole = json.loads(render_oscal(report(kind, declarations=declarations())))
    jsonschema.Draft202012Validator(json.loads(path.read_text())).validate(whole)
    (results,) = whole["assessment-results"]["results"]
    states = [finding["target"]["status"]["state"] for finding in results["findings"]]
    assert {"not-satisfied"} <= set(states) <= {"satisfied", "not-satisfied"}
    whole["assessment-results"]["uuid"] = "none"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(json.loads(path.read_text())).validate(whole)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("render", [render_html, render_json, render_csv, render_oscal])
def test_two_reports_of_the_same_records_are_the_same_bytes(
    kind: str, render: Callable[[Document], str]
) -> None:
    assert render(report(kind)) == render(report(kind))


def test_a_declaration_shows_no_control() -> None:
    document = report("dpia-annex", declarations=declarations())
    (found,) = [c for c in document.controls if c.control == "Art. 35"]
    assert found.state is ControlState.NOT_EVIDENCED
    assert "Declared: necessity, risks, residual_risk, officer_advice." in found.said


def test_controls_of_lines_are_not_about_a_simulation() -> None:
    def state(dossier: Dossier) -> ControlState:
        (found,) = [
            c for c in report("hipaa-audit-controls", dossier).controls if "(e)" in c.control
        ]
        return found.state

    assert state(dossiers.finished()) is ControlState.NOT_APPLICABLE
    assert state(replace(dossiers.finished(), simulation=False)) is ControlState.EVIDENCED


def test_a_run_without_privacy_has_hazards_that_nothing_controls() -> None:
    document = report("privacy-statement", dossiers.without_privacy())
    said = statement_of(document, "Hazard: contributions without bound")
    assert said.startswith("Present, not controlled. | missing: a run claims no differential")
    protected = report("privacy-statement")
    said = statement_of(protected, "Hazard: contributions without bound")
    assert said.startswith("Controlled by: one clipped gradient") and "Residual:" in said


def test_registration_is_shown_to_be_before_the_run_by_two_entries() -> None:
    said = statement_of(report("study-dossier"), "Registration")
    assert "was registered before any work of this run" in said
    assert said.endswith("evidenced: log entries 0, 2")
    late = subject_of(dossiers.finished())
    entries = tuple(e for e in late.facts.log.entries if e.type != "study-registered")
    facts = replace(late.facts, log=replace(late.facts.log, entries=entries))
    said = statement_of(KINDS["study-dossier"].make(replace(late, facts=facts)), "Registration")
    assert "it is not shown that this was before the run" in said


def test_the_nine_points_of_annex_iv_stand_in_order() -> None:
    titles = [section.title for section in report("annex-iv").sections]
    points = [title.partition(".")[0] for title in titles if title[0].isdigit()]
    assert points == [str(number) for number in range(1, 10)]


def test_record_of_processing_has_every_letter_of_article_30() -> None:
    (section,) = [s for s in report("processing-record").sections if s.key == "record"]
    titles = [block.title for block in section.blocks if isinstance(block, Claims)]
    assert [title[8:13] for title in titles] == [f"1)({letter})" for letter in "abcdefg"]


def test_front_matter_quotes_whatever_a_title_holds() -> None:
    title = 'a: "b"\nlicense: mit'
    document = report("model-card", replace(dossiers.finished(), study_title=title))
    (section,) = [one for one in document.sections if one.key == "front-matter"]
    (listed,) = section.blocks
    assert isinstance(listed, Listing) and listed.lines[0] == listed.lines[-1] == "---"
    found = YAML(typ="safe").load("\n".join(listed.lines[1:-1]))
    result = found["model-index"][0]["results"][0]
    assert (found["license"], result["dataset"]["name"]) == ("other", title)
    assert {one["type"]: one["value"] for one in result["metrics"]}["auroc"] == 0.868


def test_the_methods_own_statements_are_declared_by_its_authors() -> None:
    document = report("privacy-statement")
    assert f"declared by {AUTHORS}, version 0.1.0" in statement_of(document, "Adjacency")


def test_people_who_approved_stand_by_name() -> None:
    document = report("dpia-annex", declarations=declarations())
    said = statement_of(document, "Hospital va")
    assert "Dr. Sam Ortiz, chief of staff, approved the study on 2026-11-03" in said
    places = json.loads(render_json(document))["sections"][-1]["blocks"][0]["places"]
    assert [place["name"] for place in places] == ["Dr. Ada Moss", "Ben Iversen"]


def _banner(subject: ReportSubject) -> str:
    document = KINDS["security-log"].make(subject)
    return " ".join(f"{one.text} {one.detail}" for one in document.banner)


def test_a_hospital_that_signed_nothing_is_told_first() -> None:
    whole = dossiers.finished()
    said = _banner(subject_of(replace(whole, sites=whole.sites[:3])))
    assert f"run {whole.run_id}: west" in said and "signed nothing" in said
    assert "signed nothing" not in _banner(subject_of(whole))


def test_a_clock_that_went_back_by_an_hour_is_told() -> None:
    subject = subject_of(dossiers.finished())
    assert "clock" not in _banner(subject)
    entries = list(subject.facts.log.entries)
    entries[5] = replace(entries[5], time="2026-11-21T11:00:05.000Z")
    facts = replace(subject.facts, log=replace(subject.facts.log, entries=tuple(entries)))
    said = _banner(replace(subject, facts=facts))
    assert "Entry 6 is 3,599 s before entry 5" in said


def test_a_roster_that_had_expired_is_told() -> None:
    subject = subject_of(dossiers.finished())
    run = subject.dossiers[0].run_id
    for end, is_late in (("2026-11-21T10:00:05.000Z", True), ("2027-11-21T10:00:05.000Z", False)):
        facts = replace(subject.facts, rosters=((run, end),))
        assert (
            "The roster of keys had expired" in _banner(replace(subject, facts=facts))
        ) is is_late


def test_a_red_team_that_contradicts_is_told() -> None:
    subject = subject_of(dossiers.finished())
    found = RedTeamFacts(
        run_id=subject.dossiers[0].run_id, contradicted=True, reasons=("epsilon is at least 3",),
        found_at="2026-11-22T10:00:00.000Z",
    )  # fmt: skip
    said = _banner(replace(subject, facts=replace(subject.facts, red_team=(found,))))
    assert "A red team contradicted the privacy claim. epsilon is at least 3." in said


def test_faults_stand_before_everything_else() -> None:
    faulty = LogVerification(key="ab" * 32, faults=("run 1: changed",))
    document = report("model-card", replace(dossiers.finished(), verification=faulty))
    assert document.banner[0].text.startswith("NOT VERIFIED")
    (integrity,) = [
        c for c in report("hipaa-audit-controls", replace(
            dossiers.finished(), verification=faulty)).controls if "(c)" in c.control
    ]  # fmt: skip
    assert integrity.state is ControlState.NOT_EVIDENCED


def test_a_report_of_several_runs_names_those_that_failed_or_claim_nothing() -> None:
    given = (dossiers.finished(), dossiers.without_privacy(), dossiers.failed())
    document = report("study-dossier", *given, scope="study")
    said = [f"{one.text} {one.detail}" for one in document.banner]
    assert said[0].startswith("3 runs: 1 failed, 2 finished. Not finished: 20261121-120000-778899")
    assert said[1].startswith("No privacy is claimed of 1 run.")
    titles = {section.title for section in document.sections}
    assert {f"Run {one.run_id}" for one in given} <= titles
    assert len({section.key for section in document.sections}) == len(document.sections)


def test_acts_of_people_stand_by_name_and_a_refused_one_as_claimed() -> None:
    ada = ActFacts(
        entries=(90, 91), at="2026-01-05T09:00:00.000Z", person="Ada Lind", role="lead",
        action="run.start", subject="study abc", run=None, outcome="done",
    )  # fmt: skip
    eve = replace(ada, entries=(92,), person="Eve", role=None, outcome="refused")
    exported = replace(ada, entries=(93,), action="report.export")
    subject = subject_of(dossiers.finished())
    subject = replace(subject, facts=replace(subject.facts, acts=(ada, eve, exported)))
    made = KINDS["hipaa-audit-controls"].make(subject)
    (acts,) = [table for _, table in tables(made) if table.title == "Acts of people"]
    assert [row[2] for row in acts.rows] == ["Ada Lind", "Eve (as claimed)", "Ada Lind"]
    (people, *_) = [claim for claim in claims_of(made) if claim.topic == "Who acts"]
    assert people.basis == Evidenced(entries=(90, 91, 92, 93))
    assert people.text.startswith("2 acts of 1 named person, each signed")
    assert "Refused beside these: 1, of which the log shows what was claimed." in people.text
    (exports,) = [claim for claim in claims_of(made) if claim.topic == "Exports by people"]
    assert exports.basis == Evidenced(entries=(93,))


@pytest.mark.parametrize(("simulation", "told"), [(False, True), (True, False)])
def test_a_consortium_without_people_is_told_on_page_one(simulation: bool, told: bool) -> None:
    run = replace(dossiers.finished(), simulation=simulation)
    banner = [one.text for one in report("privacy-statement", run).banner]
    assert any("attributed to nobody" in text for text in banner) == told


@pytest.mark.parametrize("kind", ["privacy-statement", "dpia-annex", "security-log"])
def test_approvers_stand_by_name_where_their_hospital_signed_them_and_are_missing_elsewhere(
    kind: str,
) -> None:
    run = dossiers.finished()
    ada = NamedApproval(name="Dr. Ada Moss", on="2026-11-02")
    ben = NamedApproval(name="Prof. Ben Lind", on="2026-11-03")
    first, *others = run.sites
    named = replace(first, privacy=replace(first.privacy, approvals=(ada, ben)))
    made = report(kind, replace(run, sites=(named, *others)))
    assert statement_of(made, f"Run {run.run_id}, {first.site}").startswith(
        f"Approved at {first.site} by Dr. Ada Moss on 2026-11-02 and Prof. Ben Lind on 2026-11-03: "
        "the hospital signed it. | evidenced: log entr"
    )
    missing = statement_of(made, "People")
    assert "missing: the hospital does not name its approvers (policy.name_approvers)" in missing
    assert first.site not in missing and all(one.site in missing for one in others)


def test_an_incident_or_a_drill_alone_shows_no_notification_within_72_hours() -> None:
    dossier = with_entries("incident-opened", "incident-notified", "incident-closed")
    (found,) = [c for c in report("security-log", dossier).controls if "Art. 33" in c.control]
    assert not found.entries and "when the authority was told" in found.said


def with_entries(*types: str) -> Dossier:
    """The sample, with entries of no run at the beginning of what its log tells."""
    dossier = dossiers.finished()
    (first, *_) = dossier.audit.entries
    before = tuple(
        replace(first, type=kind, run=None, round=None, index=9000 + place)
        for place, kind in enumerate(types)
    )
    return replace(dossier, audit=replace(dossier.audit, entries=(*dossier.audit.entries, *before)))


def test_a_cosigner_whose_clock_is_an_hour_off_is_told_on_page_one() -> None:
    subject = subject_of(dossiers.finished())
    off = (("collegium/witness/v1/lyon", -3600.0), ("ethics.example", 3660.0))
    made = KINDS["security-log"].make(replace(subject, facts=replace(subject.facts, clocks=off)))
    (told,) = [one for one in made.banner if one.text.startswith("Clocks differ")]
    assert told.tone is Tone.BAD
    assert "lyon was 60 minutes behind the log; ethics.example was 61 minutes ahead" in told.detail
    assert "far from the log's" in statement_of(made, "Clock")
