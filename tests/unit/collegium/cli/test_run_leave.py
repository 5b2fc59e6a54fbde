"""``collegium silo run leave``: a hospital ends its own part in a run, and its reservation."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from compliance.ledger.entries import NOTHING, Budget, Rho, State
from compliance.ledger.ledger import Ledger
from protocol.errors import BudgetSpent, PolicyRefused
from protocol.study.study_file import read_study
from protocol.transport.requests import Delivery
from protocol.transport.run_announcement import sign_end
from protocol.transport.steps import JOIN_REFUSED
from silos.database.database import SiteDatabase, open_hospital
from silos.database.joined_runs import JoinedRuns, RunState
from silos.operations.runs import end_part, leave_run
from tests.support.hospital.hospital_home import OFFICER, make_east
from tests.support.machine.patience import PATIENCE
from tests.support.networked.network import Network, RunTimeouts, until
from tests.support.simulated.bookings import PLAN, send
from tests.support.simulated.studies import changed
from tests.unit.collegium.cli.test_silo_commands import Person, person
from tests.unit.silos.network.test_supervisor import asked

__all__ = ["person"]
STUDY = "s" * 64


def rho_of(hospital: SiteDatabase, state: State) -> Rho:
    with hospital.transaction() as guard:
        return sum((entry.rho for entry in guard.entries() if entry.state is state), NOTHING)


def budget_of(hospital: SiteDatabase) -> Budget:
    with hospital.transaction() as guard:
        budget = guard.budget()
    assert budget is not None
    return budget


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """East, which has joined run-1 and sent one of its fifteen shares."""
    home = make_east(tmp_path)
    with closing(open_hospital(home / "hospital.db", site="east")) as east:
        JoinedRuns(east).record("run-1", study=STUDY, state=RunState.JOINED)
        plan = east.ledger.reserve(
            study=STUDY, run="run-1", partition="training", round_kind="training", event=PLAN
        )
        send(east, plan)
    return home


def test_what_was_sent_stays_charged_and_the_rest_is_free_again(home: Path, person: Person) -> None:
    words = ["silo", "run", "leave", "run-1", "--home", home, "--by", OFFICER, "--reason", "why"]
    assert person.runs(*words, "--json", types="east\n") == 0
    found = json.loads(person.out)
    assert (found["run_id"], found["state"]) == ("run-1", "left")
    assert (found["left_by"], found["left_because"]) == (OFFICER, "why")
    line = found["budget"]["partitions"]["training"]
    assert line["share_reserved"] == 0.0 and line["share_spent"] > 0.0
    assert found["budget"]["open_reservations"] == []
    with closing(open_hospital(home / "hospital.db", site="east")) as east:
        booked = rho_of(east, State.RESERVED)
        sent, freed = rho_of(east, State.SENT), rho_of(east, State.FREED)
        assert sent and sent + freed == booked
        assert east.ledger.summary().of("training").spent == budget_of(east).share(sent)
        east.ledger.verify()
        east.ledger.require_newest()


def test_said_again_it_changes_nothing_and_the_first_decision_stays(home: Path) -> None:
    first = leave_run(home, "run-1", by=OFFICER, reason="first")
    again = leave_run(home, "run-1", by="somebody else", reason="second")
    assert again == first


def test_what_the_hospital_kept_of_its_own_in_the_run_is_removed(home: Path) -> None:
    kept = home / "hospital-own-states"
    with closing(open_hospital(home / "hospital.db", site="east")) as east:
        assert east.own_states == kept
    kept.mkdir()
    for run in ("run-1", "run-10", "run-1-2"):
        (kept / f"{run}-0.safetensors").write_bytes(b"")
    leave_run(home, "run-1", by=OFFICER, reason="")
    assert {path.name for path in kept.iterdir()} == {
        "run-10-0.safetensors",
        "run-1-2-0.safetensors",
    }


def test_cut_off_before_the_plans_are_closed_it_may_be_said_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr(Ledger, "settle_run", cut_off)
        with pytest.raises(KeyboardInterrupt):
            leave_run(home, "run-1", by=OFFICER, reason="")
    with closing(open_hospital(home / "hospital.db", site="east")) as east:
        assert JoinedRuns(east).open() == ()  # so nothing joins it again meanwhile
        assert rho_of(east, State.FREED) == NOTHING
    assert leave_run(home, "run-1", by=OFFICER, reason="").budget["open_reservations"] == []


@pytest.mark.parametrize(
    ("words", "typed", "said"),
    [
        (["run-2", "--by", OFFICER], "east\n", "no run 'run-2' ever reached this hospital"),
        (["run-1", "--by", OFFICER], "west\n", "'west' is not this hospital's name"),
        (["run-1", "--by", " "], "east\n", "say who decides, with --by"),
    ],
)
def test_nothing_is_left_by_a_slip(
    home: Path, person: Person, words: list[str], typed: str, said: str
) -> None:
    words = ["silo", "run", "leave", *words, "--home", str(home)]
    assert said in person.reads_refusal(*words, types=typed)
    with closing(open_hospital(home / "hospital.db", site="east")) as east:
        assert [run.run_id for run in JoinedRuns(east).open()] == ["run-1"]
        assert rho_of(east, State.FREED) == NOTHING


def test_a_run_that_was_left_is_never_joined_again(home: Path) -> None:
    leave_run(home, "run-1", by=OFFICER, reason="")
    with closing(open_hospital(home / "hospital.db", site="east")) as east:
        runs = JoinedRuns(east)
        for state in (RunState.JOINED, RunState.REFUSED):  # by a supervisor that was on its way
            runs.record("run-1", study=STUDY, state=state)
        assert [run.state for run in runs.all()] == [RunState.LEFT]


# --- on a network ---------------------------------------------------------------------------------


def test_a_hospital_at_work_leaves_and_the_others_go_on(tmp_path: Path) -> None:
    study = read_study(changed("rounds: 2", "rounds: 8"))
    network = Network(tmp_path, study, pace=RunTimeouts(joining=PATIENCE, step=20, patience=0))
    east = network.sites["east"]
    with network.serving():
        network.start_sites()
        run = network.service.start_run(study.digest, test_noise=True)
        until(lambda: network.rounds_finished(run) >= 2)
        network.service.steer(run, "pause")
        with closing(east.open()) as hospital:
            joined = JoinedRuns(hospital).of(run)
            assert joined is not None
            end_part(hospital, joined, by=OFFICER, reason="a trial")
            sent = rho_of(hospital, State.SENT)
        network.service.steer(run, "resume")
        network.service.wait(run, PATIENCE)
        assert network.row(run).state == "finished"
        assert east.is_alive and east.supervisor is not None
        assert not east.supervisor._silo.has_joined(run)  # its records are dropped
        with closing(east.open()) as hospital:
            assert rho_of(hospital, State.SENT) == sent != NOTHING
            assert rho_of(hospital, State.FREED) + sent == rho_of(hospital, State.RESERVED)
            assert hospital.ledger.summary().of("training").reserved == 0
        key = network.service._key
        end = Delivery(number=0, run_id=run, kind="leave", message=sign_end(run, key))
        assert asked(network, "east", end).refusal is None  # its account was settled, and is told
        again = Delivery(number=0, run_id=run, kind="advertise", message=b"")
        assert asked(network, "east", again).refusal == JOIN_REFUSED


@pytest.mark.long
def test_a_person_who_leaves_while_the_supervisor_joins_is_obeyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network(tmp_path, read_study(changed("rounds: 2", "rounds: 3")))
    east = network.sites["east"]
    reserve = Ledger.reserve

    def left_meanwhile(ledger: Ledger, **plan: object) -> object:
        with closing(east.open()) as hospital:
            run = JoinedRuns(hospital).of(str(plan["run"]))
            if run is not None:
                end_part(hospital, run, by=OFFICER)
        return reserve(ledger, **plan)  # type: ignore[arg-type]

    with network.serving():
        network.start_sites()
        monkeypatch.setattr(Ledger, "reserve", left_meanwhile)
        run = network.service.start_run(network.study.digest, test_noise=True)
        network.service.wait(run, PATIENCE)
        with closing(east.open()) as hospital:
            assert rho_of(hospital, State.SENT) == NOTHING
            assert hospital.ledger.summary().of("training").reserved == 0
            assert hospital.ledger.summary().of("evaluation").reserved == 0


def test_no_release_is_booked_of_a_run_that_was_left(home: Path) -> None:
    with closing(open_hospital(home / "hospital.db", site="east")) as east:
        plan = east.ledger.reserve(
            study=STUDY, run="run-1", partition="training", round_kind="training", event=PLAN
        )
        leave_run(home, "run-1", by=OFFICER, reason="")
        with pytest.raises(BudgetSpent, match="is settled"):
            send(east, plan, "another round")


def test_a_run_that_never_was_cannot_be_left(home: Path) -> None:
    with pytest.raises(PolicyRefused, match="silo status lists them"):
        leave_run(home, "", by=OFFICER, reason="")
