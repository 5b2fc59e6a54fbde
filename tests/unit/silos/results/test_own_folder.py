"""A hospital's officer in the hospital's own folder: runs, report and audit verify."""

import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from shutil import copytree, ignore_patterns

import numpy as np
import pytest
from rich.console import Console

from collegium.verification.hospital_checks import _check_end
from collegium.verification.inputs import AuditInputs
from collegium.verification.verify import verify_folder
from compliance.ledger.entries import State
from compliance.privacy.events import SampledGaussian
from compliance.reports.document import Signatures, Statement
from compliance.reports.one_run.hospital_report import hospital_report
from compliance.reports.renderers import render_html
from coordinator.audit.verification import Verified
from coordinator.database.workspace import Workspace
from protocol.errors import PolicyRefused, StoreBroken
from protocol.secagg.log_proof import SignedHead
from protocol.transport.run_announcement import ReleasedFigure, RunResult, sign_end
from protocol.vectors.tensors import encode_tensors, model_digest
from silos.database.approvals import approvals_of
from silos.database.joined_runs import JoinedRuns, RunState
from silos.database.run_decisions import RunDecisions
from silos.operations.own_check import NOT_DECIDED, check_own
from silos.results.kept_models import read_model
from silos.results.own_runs import own_run, own_runs
from silos.results.run_results import take_model
from silos.rounds.openings.log_heads import LogHeads
from tests.support.hospital.hospital_home import make_east
from tests.support.machine.databases import run_sql, without_guards
from tests.support.machine.short_form import short_form
from tests.support.networked.finished_network import OFFICER
from tests.support.networked.network import Network, Site
from tests.support.simulated.output_folder import rewrite_log, without_run
from tests.support.simulated.studies import small_study
from tests.unit.collegium.cli.test_silo_commands import Person, person
from tests.unit.coordinator.audit.test_tamperings import figures_of

__all__ = ["person"]

ONE_STEP = SampledGaussian(noise_multiplier=100.0, sampling_rate=1.0, steps=1)


@pytest.fixture
def home(run_once: tuple[Network, str], tmp_path: Path) -> Path:
    """A copy of east's folder, which is all that its officer has."""
    return Path(copytree(run_once[0].sites["east"].home, tmp_path / "copy"))


@pytest.fixture
def run(run_once: tuple[Network, str]) -> str:
    return run_once[1]


@pytest.fixture
def east(run_once: tuple[Network, str]) -> Site:
    return run_once[0].sites["east"]


def at(site: Site, home: Path) -> Site:
    return replace(site, home=home)


def tampered(home: Path, statement: str) -> None:
    """Changes the database as whoever has the file can: its triggers are away meanwhile."""
    with closing(sqlite3.connect(home / "hospital.db")) as connection, connection:
        put_back = without_guards(connection)
        connection.execute(statement)
        put_back()


def test_runs_are_listed_from_the_hospitals_own_records(
    home: Path, run: str, person: Person
) -> None:
    for option in ("--home", "--out"):
        assert person.runs("runs", "list", option, home, "--json") == 0
        (line,) = json.loads(person.out)
        assert (line["run_id"], line["study"], line["state"]) == (run, "small", "finished")
        assert line["approved_by"] == [OFFICER]
    assert person.runs("runs", "list", "--home", home) == 0
    assert run in person.out and OFFICER in person.out
    assert person.err.startswith("not verified: collegium audit verify --home")


def test_one_run_is_shown_with_what_it_cost(home: Path, run: str, person: Person) -> None:
    assert person.runs("runs", "show", run[:-2], "--home", home, "--json") == 0
    found = json.loads(person.out)
    assert found["run_id"] == run
    assert [cost["round_kind"] for cost in found["costs"]] == ["training", "evaluation"]
    assert {cost["payers"] for cost in found["costs"]} == {"both"}
    assert f"approved by {OFFICER}" in person.err
    assert "0 runs of this hospital are called 'x'" in person.reads_refusal(
        "runs", "show", "x", "--home", home
    )


def test_what_the_report_says_is_what_the_ledger_holds(east: Site, home: Path, run: str) -> None:
    found = own_run(home, run)
    with closing(at(east, home).open()) as hospital:
        spent = hospital.ledger.summary().dearest.spent
        with hospital.transaction() as guard:
            sent = [entry for entry in guard.entries() if entry.state is State.SENT]
    assert [r.context for r in found.releases] == [entry.context for entry in sent]
    assert [r.blob for r in found.releases] == [entry.blob for entry in sent]
    assert sum(c.share_sent for c in found.costs) == pytest.approx(spent)
    assert {c.spent_by_all for c in found.costs} == {spent}
    assert not any(cost.is_open for cost in found.costs)
    (decision,) = found.approvals
    assert (decision.approver, decision.reason, decision.runs) == (OFFICER, "rare", 1)


@pytest.mark.parametrize("form", ["html", "json", "csv"])
def test_a_report_is_written_in_the_hospital(
    home: Path, run: str, person: Person, tmp_path: Path, form: str
) -> None:
    to = tmp_path / "report"
    assert person.runs("report", "export", run, "--home", home, "--to", to, "--format", form) == 0
    text = to.read_text()
    for said in (OFFICER, small_study().digest, run, "was verified at", "simulated hospital"):
        assert said in text
    assert "only a report that maps to controls has assessment results" in person.reads_refusal(
        "report", "export", run, "--home", home, "--to", to, "--format", "oscal"
    )


def test_a_hospital_has_one_report_of_a_run_and_says_so(
    home: Path, run: str, person: Person, tmp_path: Path
) -> None:
    asked = ("report", "export", run, "--home", home, "--to", tmp_path / "r.html")
    said = person.reads_refusal(*asked, "--kind", "annex-iv", "--until", "3")
    assert "leave out --kind, --until" in said
    assert not (tmp_path / "r.html").exists()


def test_a_hospitals_report_on_paper_has_a_place_to_sign(
    home: Path, run: str, person: Person, tmp_path: Path
) -> None:
    to = tmp_path / "report.pdf"
    assert person.runs("report", "export", run, "--home", home, "--to", to) == 0
    assert to.read_bytes().startswith(b"%PDF-")
    report = hospital_report(own_run(home, run), Statement(text=""))
    (block,) = report.sections[-1].blocks
    assert isinstance(block, Signatures) and [one.name for one in block.places] == [OFFICER]


def test_a_guard_that_is_gone_is_told(home: Path) -> None:
    run_sql(home / "hospital.db", "DROP TRIGGER ledger_entry_no_delete")
    assert check_own(home).faults == (
        "database: the database has no trigger ledger_entry_no_delete",
    )


def test_before_the_first_run_nothing_is_signed_about_a_simulated_hospital(
    home: Path, tmp_path: Path
) -> None:
    assert NOT_DECIDED not in check_own(home).not_checked
    (tmp_path / "other").mkdir()
    fresh = check_own(make_east(tmp_path / "other"))
    assert fresh.faults == () and NOT_DECIDED in fresh.not_checked


def test_files_beside_a_hospitals_evidence_are_listed(home: Path, run: str, person: Person) -> None:
    before = set(check_own(home).unnamed)
    added = {"approval.pdf", f"results/{run}/figures.csv", "studies/note.txt", "tls/other.pem"}
    added.add(f"results/{run}/personalised-model.safetensors")  # signed by nobody
    for name in added:
        (home / name).write_text("added")
    assert person.runs("audit", "verify", "--home", home, "--json") == 0
    found = json.loads(person.out)
    assert set(found["unnamed_files"]) == before | added
    assert all(name in person.err for name in added)
    assert "site.yaml" not in before and not any("model" in name for name in before)


def test_a_sound_folder_is_verified_with_its_keys(
    run_once: tuple[Network, str], home: Path, person: Person
) -> None:
    assert person.runs("audit", "verify", "--home", home, "--json") == 0
    found = json.loads(person.out)
    assert found["verified"] is True and found["faults"] == []
    assert set(found["holds"]) == {
        "database", "ledger", "approvals", "rosters", "runs", "studies", "patients", "results",
        "weights", "serving", "log",
    }  # fmt: skip
    assert found["coordinator"] == Workspace(run_once[0].home).public_key().hex()
    assert found["coordinator"] in person.err
    last = person.err.splitlines()[-1]
    assert last.startswith("verified at 20") and found["identity"] in last
    assert "not checked  the coordinator's records" in person.err


def test_the_coordinators_folder_is_held_to_a_hospitals(
    run_once: tuple[Network, str], home: Path, tmp_path: Path
) -> None:
    network, run = run_once
    given = AuditInputs(hospital=home)
    answer = verify_folder(network.home, given, Console(quiet=True))
    assert (answer["faults"], answer["ledgers"]) == ([], 1)
    lying = Path(copytree(network.home, tmp_path / "lying", ignore=ignore_patterns("*.sock")))
    rewrite_log(lying, lambda session: without_run(session, run))
    faults = verify_folder(lying, given, Console(quiet=True))["faults"]
    assert {(fault["hospital"], fault["run"]) for fault in faults} >= {("east", run)}
    alone = verify_folder(lying, AuditInputs(), Console(quiet=True))
    assert any("written anew by whoever holds its key" in said for said in alone["not_checked"])


def test_other_figures_than_a_hospital_was_told_are_a_fault(
    run_once: tuple[Network, str], home: Path, tmp_path: Path
) -> None:
    network, run = run_once
    lying = Path(copytree(network.home, tmp_path / "lying", ignore=ignore_patterns("*.sock")))
    figures_of(lying, run, auroc=0.991)
    faults = verify_folder(lying, AuditInputs(hospital=home), Console(quiet=True))["faults"]
    said = [f["what"] for f in faults if (f["hospital"], f["run"]) == ("east", run)]
    assert any("the coordinator signed another model or other figures" in fault for fault in said)


def test_what_needs_the_coordinators_folder_says_so(home: Path, person: Person) -> None:
    assert person.runs("audit", "recompute", "1", "--out", home) == 66
    assert "is a hospital's own folder" in person.err
    assert person.runs("audit", "verify", "--home", home, "--key", "ab" * 32) == 64
    assert "are about a coordinator's" in person.err


def test_a_real_hospitals_report_says_what_its_patients_were_promised(home: Path, run: str) -> None:
    found = replace(own_run(home, run), simulated=False)
    assert found.study is not None and found.study.plan is not None
    claim = hospital_report(found, Statement(text="")).banner[1]
    assert "At most epsilon 4 at delta 1e-3 for the presence of one patient's records" in claim.text
    nothing_left = replace(found, releases=())
    assert "No patient paid" in hospital_report(nothing_left, Statement(text="")).banner[1].detail
    unknown = replace(found, study=None)
    assert "No privacy is claimed" in hospital_report(unknown, Statement(text="")).banner[1].text


def test_a_hospitals_report_says_by_which_models_figures_are(home: Path, run: str) -> None:
    found = own_run(home, run)
    assert found.study is not None and found.result is not None and found.study.training == ()
    own = replace(
        found,
        study=replace(found.study, training=(("trains together by", "mrmtl (pull 0.3)"),)),
        result=replace(found.result, has_own_model=True, about_figures="of own models"),
    )
    told, before = (render_html(hospital_report(each, Statement(text=""))) for each in (own, found))
    for said in (
        "Trains together by",
        "mrmtl (pull 0.3)",
        "Figures are of own models",
        "which stays here",
    ):
        assert said in told and said not in before


# --- tampering ------------------------------------------------------------------------------------

#: What somebody with the folder changes, and what is said of it.
CHANGES = {
    "a withdrawal is deleted": (
        "DELETE FROM approval WHERE number = 2",
        "approvals: approval 2, the newest decision, is not in the database",
    ),
    "an approver's name": (
        "UPDATE approval SET approver = 'Somebody Else' WHERE number = 1",
        "approvals: approval 1 was changed",
    ),
    "how many runs were approved": (
        "UPDATE approval SET runs = 9 WHERE number = 1",
        "approvals: approval 1 was changed",
    ),
    "an entry of the ledger": (
        "UPDATE ledger_entry SET rho_upper = 0 WHERE number = 3",
        "ledger: ledger entry 3 was changed",
    ),
    "the ledger's end": (
        "DELETE FROM ledger_entry WHERE number > 4",
        "ledger: the ledger went back in time",
    ),
    "the budget": ("UPDATE budget SET epsilon_max = 99", "ledger: the budget was changed"),
    "the run was never asked for": (
        "DELETE FROM joined_run",
        "which nobody asked for",
    ),
    "the study of a run": (
        "UPDATE joined_run SET study = '" + "0" * 64 + "'",
        "is about another run or study",
    ),
    "the notice": ("UPDATE joined_run SET notice = x'00'", "no coordinator of this hospital has"),
    "a head of the log": (
        "UPDATE log_head SET root = zeroblob(32) WHERE size = (SELECT max(size) FROM log_head)",
        "its note is about another",
    ),
    "a note": ("UPDATE log_head SET note = x'00'", "log: head of "),
    "who left a run": (
        "UPDATE joined_run SET left_by = 'Dr. B', left_because = 'pressure'",
        "is not what this hospital decided",
    ),
    "how a run stands": (
        "UPDATE joined_run SET state = 'refused'",
        "is not what this hospital decided",
    ),
    "when it was joined": (
        "UPDATE joined_run SET joined_at = '2001-01-01T00:00:00.000Z'",
        "is not what this hospital decided",
    ),
    "when it changed": (
        "UPDATE joined_run SET changed_at = '2001-01-01T00:00:00.000Z'",
        "is not what this hospital decided",
    ),
    "how it ended": (
        "UPDATE joined_run SET run_end = NULL",
        "is not what this hospital decided",
    ),
    "a run that never was": (
        "INSERT INTO joined_run SELECT 'run-x', study, 'left', notice, joined_at, changed_at, "
        "'Dr. X', 'because', NULL FROM joined_run",
        "run run-x: what stands here of it is not what this hospital decided",
    ),
    "a decision about a run": (
        "UPDATE run_decision SET document = "
        "CAST(replace(CAST(document AS TEXT), 'left', 'gone') AS BLOB)",
        "about runs was changed",
    ),
    "the newest decision about a run": (
        "DELETE FROM run_decision WHERE number = (SELECT max(number) FROM run_decision)",
        "about runs, the newest, is not in the database",
    ),
    "a simulated hospital is called real": (
        "UPDATE hospital SET simulated = 0",
        "it was of the simulated hospital east",
    ),
    "all heads of the log": ("DELETE FROM log_head", "that it names is not kept"),
    "the newest head of the log that a decision names": (  # the one cosigned after it is not named
        "DELETE FROM log_head WHERE size = (SELECT max(size) FROM log_head WHERE size < "
        "(SELECT max(size) FROM log_head))",
        "that it names is not kept",
    ),
    "whose log a head is of": ("UPDATE log_head SET origin = 'x'", "that it names is not kept"),
    "all trusted rosters": ("DELETE FROM trusted_roster", "runs: run "),
    "what was signed once": ("DELETE FROM signing_record", "what was signed with it is not kept"),
    "which model was evaluated": (
        "UPDATE signing_record SET digest = 'x' WHERE slot LIKE 'model/evaluation/%'",
        "another model was evaluated than the database says",
    ),
    "a roster": (
        "UPDATE trusted_roster SET signatures_json = '[]'",
        "rosters: roster 1 was changed",
    ),
}


@pytest.mark.parametrize("change", short_form(CHANGES, 3))
def test_what_was_changed_is_told_and_nothing_is_reported(
    home: Path, run: str, person: Person, tmp_path: Path, change: str, east: Site
) -> None:
    with closing(at(east, home).open()) as hospital:
        approvals_of(hospital).withdraw(small_study().digest, approver=OFFICER)
    statement, said = CHANGES[change]
    tampered(home, statement)
    assert person.runs("audit", "verify", "--home", home, "--json") == 2
    found = json.loads(person.out)
    assert found["verified"] is False
    assert any(said in fault for fault in found["faults"]), found["faults"]
    assert said in person.err and "NOT verified at 20" in person.err
    to = tmp_path / "report.html"
    assert said in person.reads_refusal("report", "export", run, "--home", home, "--to", to)
    assert not to.exists()


def test_every_fault_is_told_not_the_first_alone(home: Path, person: Person) -> None:
    tampered(home, "UPDATE joined_run SET notice = x'00'")
    tampered(home, "UPDATE log_head SET note = x'00'")
    (home / "studies" / small_study().digest / "study.yaml").write_text("collegium: 1")
    faults = check_own(home).faults
    assert {fault.partition(":")[0] for fault in faults} == {"runs", "log", "studies"}


def test_a_run_that_nobody_had_approved_is_told(home: Path, east: Site) -> None:
    tampered(home, "DELETE FROM approval")
    with closing(at(east, home).open()) as hospital:
        approvals_of(hospital).accept_copy(approver=OFFICER, reason="a forged beginning")
    faults = check_own(home).faults
    assert any("began without an approval for it" in fault for fault in faults), faults


def test_a_run_that_began_after_its_study_was_withdrawn_is_told(home: Path, east: Site) -> None:
    with closing(at(east, home).open()) as hospital:
        approvals_of(hospital).withdraw(small_study().digest, approver=OFFICER)
        assert check_own(home).faults == ()  # the run is older
        study = small_study().digest
        JoinedRuns(hospital).record("run-9", study=study, state=RunState.JOINED)
        plan = hospital.ledger.reserve(
            study=study, run="run-9", partition="both", round_kind="training", event=ONE_STEP
        )
        hospital.ledger.mark_sent(plan, context="c", event=ONE_STEP, blob="b", content="c")
    faults = check_own(home).faults
    assert any("run run-9 of study" in fault and "without an app" in fault for fault in faults)


def test_a_clock_that_was_set_back_is_no_fault(
    home: Path, east: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(at(east, home).open()) as hospital:
        study = small_study().digest
        approvals_of(hospital).approve(study, approver=OFFICER, approvers=[OFFICER], used=1)
        monkeypatch.setattr(hospital, "now", lambda: "2001-01-01T00:00:00.000Z")
        JoinedRuns(hospital).record("run-9", study=study, state=RunState.JOINED)
        plan = hospital.ledger.reserve(
            study=study, run="run-9", partition="both", round_kind="training", event=ONE_STEP
        )
        hospital.ledger.mark_sent(plan, context="c", event=ONE_STEP, blob="b", content="c")
    assert not any("without an approval" in fault for fault in check_own(home).faults)


def test_an_approval_that_came_after_the_request_is_the_one_that_is_named(
    home: Path, east: Site
) -> None:
    study = "a" * 64
    with closing(at(east, home).open()) as hospital:
        runs = JoinedRuns(hospital)
        for _ in range(2):  # said again with nothing new it is one decision
            runs.record("run-9", study=study, state=RunState.JOINED)
        approvals_of(hospital).approve(study, approver=OFFICER, approvers=[OFFICER])
        runs.record("run-9", study=study, state=RunState.JOINED)
        named = [d.approval for d in RunDecisions(hospital).all() if d.run_id == "run-9"]
    assert named == [1, 2]


@pytest.mark.parametrize("change", ["model", "about"])
def test_how_to_use_the_model_is_what_study_and_model_give(
    home: Path, run: str, change: str
) -> None:
    folder = home / "results" / run
    if change == "model":
        (folder / "model.safetensors").unlink()
    else:
        about = folder / "model.json"
        about.write_text(about.read_text().replace("50.0", "5.0"))
    said = {"model": "though this hospital evaluated it", "about": "is not what study and model"}
    assert any(said[change] in fault for fault in check_own(home).faults)


def test_another_end_than_was_evaluated_is_told_by_hospital_and_auditor(
    run_once: tuple[Network, str], home: Path, run: str, tmp_path: Path, east: Site
) -> None:
    network, _ = run_once
    true = read_model(home / "results" / run / "model.safetensors")
    other = {name: tensor + np.float32(1) for name, tensor in true.items()}
    figure = ReleasedFigure(name="auroc", value=999_000, low=990_000, high=1_000_000)
    result = RunResult(model=model_digest(other), figures=(figure,))
    end = sign_end(run, Workspace(network.home).signing_key(), result)
    tampered(home, "UPDATE joined_run SET run_end = x'" + end.hex() + "'")  # noqa: S608
    file = tmp_path / "other.safetensors"
    file.write_bytes(encode_tensors(other))
    with pytest.raises(PolicyRefused, match="another final model to this hospital"):
        take_model(home, run, file)
    assert any("signed another final model" in fault for fault in check_own(home).faults)
    found = check_own(home)
    with pytest.raises(StoreBroken, match="signed another final model"):
        found.require_sound()
    with closing(at(east, home).open()) as hospital:
        told = JoinedRuns(hospital).named(run)
        evaluated = hospital.signing_record().of(run)
    verified = Verified.__new__(Verified)
    object.__setattr__(verified, "results", {run: result})  # the records say the same
    object.__setattr__(verified, "attempts", ())
    with pytest.raises(StoreBroken, match="another model to it than it evaluated"):
        _check_end(told, verified, Workspace(network.home).public_key(), evaluated)


def test_a_fork_of_the_coordinators_log_is_a_fault(
    run_once: tuple[Network, str], home: Path, east: Site
) -> None:
    with closing(at(east, home).open()) as hospital:
        heads = LogHeads(hospital, Workspace(run_once[0].home).public_key())
        newest = heads.newest()
        assert newest is not None
        heads.keep_fork(newest, SignedHead(size=newest.size, root=bytes(32), note=b"x"), "run-9")
    assert any("run run-9" in fault for fault in check_own(home).faults)


def test_who_left_a_run_stands_in_its_report(home: Path, east: Site) -> None:
    with closing(at(east, home).open()) as hospital:
        JoinedRuns(hospital).record(
            "run-8", study="a" * 64, state=RunState.LEFT, left_by=OFFICER, left_because="on hold"
        )
    found = own_run(home, "run-8")
    assert (found.left_by, found.study, found.costs) == (OFFICER, None, ())
    assert [run.run_id for run in own_runs(home)][0] == "run-8"
    state = hospital_report(found, Statement(text="")).banner[0]
    assert f"ended by {OFFICER}, of this hospital: on hold" in state.detail
