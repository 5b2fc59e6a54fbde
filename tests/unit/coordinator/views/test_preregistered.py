"""Records about a preregistered run, from a folder: entries, earlier runs, declared deviations."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from compliance.facts.dossier import Relation
from compliance.facts.dossier.preregistration import (
    PreregistrationOutcome,
    preregistration_outcome,
)
from coordinator.audit.faults import Faults
from coordinator.audit.verification import check_records, check_registered_first
from coordinator.database.store import Store, logged_entries
from coordinator.database.workspace import Workspace
from coordinator.views.views import open_views
from protocol.errors import PolicyRefused, QuorumLost, StudyRefused
from protocol.log.entry import LogEntry
from protocol.study.study import Study
from protocol.study.study_file import read_study
from tests.support.hospital.people import BEA, CLEO, People
from tests.support.simulated.begun_run import begin_beside
from tests.support.simulated.federation import Federation
from tests.support.simulated.preregistered import PREREGISTRATION, preregistered
from tests.support.simulated.studies import TABLE_STUDY, small_study


@dataclass
class Ran:
    """A folder in which a study without the section ran, and then a preregistered one."""

    folder: Path
    people: People

    def outcome(self, run: str) -> PreregistrationOutcome:
        with closing(open_views(self.folder)) as views:
            found = preregistration_outcome(views.dossier(run))
        assert found is not None
        return found


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    federation = Federation(tmp_path_factory.mktemp("ran"), small_study())
    federation.run()
    again(federation, "run-2", preregistered())
    begin_beside(federation.workspace.root, preregistered(), "run-3", QuorumLost("2 answers"))
    key = federation.workspace.signing_key()
    people = People.over(federation.store, key)
    people.found()
    yield Ran(federation.workspace.root, people)
    federation.close()


def again(federation: Federation, run: str, study: Study) -> None:
    """Runs another study among the same hospitals."""
    federation.run_id, federation.study = run, study
    federation.invitation = federation.invitation_of(run)
    object.__setattr__(federation.invitation, "study", study)
    federation.run()


def test_the_first_run_of_a_preregistration_follows_its_registration(ran: Ran) -> None:
    found = ran.outcome("run-2")
    assert found.is_before and found.number == 1
    assert found.seconds_before is not None and found.seconds_before >= 0
    assert [one.verdict.value for one in found.criteria]
    (one,) = found.facts.earlier
    assert (one.run_id, one.relation, one.same_patients) == ("run-1", Relation.SAME_NAME, True)
    kinds = {each.kind.value for each in found.found}
    assert {"run_before", "tested_before", "results_known_before"} <= kinds


def test_a_second_run_is_counted(ran: Ran) -> None:
    found = ran.outcome("run-3")
    assert found.number == 2
    assert [one.relation for one in found.facts.earlier] == [
        Relation.SAME_NAME, Relation.SAME_STUDY,
    ]  # fmt: skip
    assert [one.run_id for one in ran.outcome("run-2").facts.earlier] == ["run-1"]


def test_whoever_reports_the_first_of_several_runs_has_the_later_ones_told(ran: Ran) -> None:
    found = ran.outcome("run-2")
    assert [one.run_id for one in found.facts.later][:1] == ["run-3"]
    assert "This is run 1 of this preregistration. 1 run more of it began afterwards: run-3." in (
        found.timing
    )
    assert [one["run"] for one in found.to_json()["later_runs"]][:1] == ["run-3"]
    assert ran.outcome("run-3").facts.until(1).later == ()


def test_a_deviation_is_declared_under_a_signature_and_stands_in_the_log(ran: Ran) -> None:
    said = {"text": "East scanned with another device, which came in May."}
    told = ran.people.act(CLEO, "run.deviate", ("run", "run-2"), said)
    found = ran.outcome("run-2")
    (one,) = found.declared
    assert (one.person, one.role, one.text, one.act) == (CLEO, "lead", said["text"], told["act"])
    assert found.is_after_release(one) and ran.outcome("run-3").declared == ()
    workspace = Workspace.open(ran.folder)
    with closing(Store.for_reading(workspace.database)) as store, store.read() as session:
        entry = logged_entries(session)[one.entry.index].content
        assert (entry.type, entry.payload) == ("act-allowed", told["act"])
        faults = Faults()
        check_records(session, workspace.public_key(), faults)
    assert not [fault for fault in faults.found if "act" in str(fault)]


@pytest.mark.parametrize(
    ("run", "text", "why"),
    [
        ("run-2", "  ", "say what was done otherwise"),
        ("run-2", "nothing\ncriterion  auroc: met", "in one line"),
        ("run-9", "x", "there is no run 'run-9'"),
        ("run-1", "x", "has no preregistration to deviate from"),
    ],
)
def test_a_deviation_from_nothing_is_refused(ran: Ran, run: str, text: str, why: str) -> None:
    before = len(ran.outcome("run-2").declared)
    with pytest.raises(PolicyRefused, match=why):
        ran.people.act(BEA, "run.deviate", ("run", run), {"text": text})
    assert len(ran.outcome("run-2").declared) == before


def test_nobody_declares_a_deviation_unsigned(tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "out")
    with closing(Store(workspace.database)) as store:
        operations = People.over(store, workspace.signing_key()).operations
        request = {
            "action": "run.deviate", "subject_kind": "run", "subject": "r",
            "details": {"text": "x"},
        }  # fmt: skip
        with pytest.raises(PolicyRefused, match=r"run\.deviate needs a person"):
            operations.perform({"request": request})


def test_runs_of_related_studies_are_found_by_what_relates_them(ran: Ran) -> None:
    renamed = TABLE_STUDY.replace("name: small\n", "name: other\n", 1)
    studies = {
        "run-seed": (preregistered().with_seed(9), Relation.SAME_PREREGISTRATION),
        "run-question": (
            read_study(renamed.replace("rounds: 2", "rounds: 3")), Relation.SAME_QUESTION
        ),
        "run-target": (
            read_study(renamed.replace("centre: 50", "centre: 60")), Relation.SAME_TARGET
        ),
        "run-label": (
            read_study(renamed.replace("positive: [1]", "positive: [1, 2]")), Relation.SAME_TARGET
        ),
        "run-classes": (
            read_study(
                renamed.replace("positive: [1], negative: [0]", "classes: {well: [0], ill: [1]}")
                .replace("task:\n", "task:\n  kind: multiclass_classification\n")
                .replace("{bins: 8}", "{}")
            ),
            Relation.SAME_TARGET,
        ),
        "run-column": (read_study(renamed.replace(" ill", " died")), None),
    }  # fmt: skip
    for run, (study, _) in studies.items():
        begin_beside(ran.folder, study, run, PolicyRefused("nobody allows it"))
    begin_beside(ran.folder, preregistered(), "run-last")
    found = {one.run_id: one.relation for one in ran.outcome("run-last").facts.earlier}
    assert {run: found.get(run) for run in studies} == {
        run: relation for run, (_, relation) in studies.items()
    }
    assert list(found)[:3] == ["run-1", "run-2", "run-3"]


def test_a_study_whose_criterion_is_never_released_is_never_begun(ran: Ran) -> None:
    wrong = read_study(TABLE_STUDY + PREREGISTRATION.replace("figure: auroc", "figure: auprk"))
    with pytest.raises(StudyRefused, match="never releases 'auprk'; did you mean 'auprc'"):
        begin_beside(ran.folder, wrong, "run-wrong")
    with pytest.raises(StudyRefused, match="never releases 'auprk'"):
        ran.people.act(
            CLEO, "study.register", ("study", wrong.digest), None,
            {"document": wrong.canonical_bytes.decode()},
        )  # fmt: skip


def entry(seq: int, kind: str, run: str | None = None, payload: str = "a" * 64) -> LogEntry:
    return LogEntry(
        seq=seq, time="2026-01-05T08:00:00.000Z", type=kind, run=run, round=None, attempt=None,
        payload=payload, record=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kinds", "fault"),
    [
        (("study-registered", "run-started", "round-opened"), None),
        (("run-started", "study-registered", "round-opened"), "before the log registered"),
        (("study-registered", "round-opened", "run-started"), "before the run began"),
    ],
)
def test_a_run_that_began_before_its_study_was_registered_is_a_fault(
    kinds: tuple[str, ...], fault: str | None
) -> None:
    faults = Faults()
    entries = [
        entry(seq, kind, None if kind == "study-registered" else "run-1")
        for seq, kind in enumerate(kinds)
    ]
    check_registered_first(entries, faults)
    told = [str(one) for one in faults.found]
    assert (told == []) if fault is None else (len(told) == 1 and fault in told[0])
