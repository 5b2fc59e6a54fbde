"""The real command with real Ray, torch and Opacus: what it prints, leaves behind and survives."""

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from collegium.output.progress import Silent
from collegium.simulation.consortium import Consortium, consortium
from collegium.simulation.runs import run_study
from collegium.simulation.settings import SimulationSettings
from coordinator.audit.verification import verify_records
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.rounds.run_records import new_run_id
from protocol.errors import BudgetSpent, CohortRefused, FederationError, StoreBroken
from protocol.study.study_file import read_study
from tests import ROOT
from tests.support.hospital.other_user import open_to_others
from tests.support.machine.commands import COMMAND, Done, ask, start
from tests.support.machine.patience import PATIENCE
from tests.support.machine.short_form import short_form
from tests.support.networked.network import until
from tests.support.simulated.federation import write_hospitals
from tests.support.simulated.studies import TABLE_STUDY, changed, small_study

pytestmark = [
    # Ray's own start-up leaves sockets and files to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the small study and its four hospitals' records."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "study.yaml").write_text(TABLE_STUDY)
    (folder / "data").mkdir()
    write_hospitals(folder / "data", small_study())
    return folder


def simulate(home: Path, out: str, *options: object) -> Done:
    where = ("--data", home / "data", "--out", home / out, "--processes", 1)
    return start("simulate", home / "study.yaml", *where, *options)


@pytest.fixture(scope="module")
def finished(home: Path) -> tuple[Path, dict[str, object]]:
    """One finished run: its folder and its JSON."""
    done = simulate(home, "finished", "--json")
    assert done.returncode == 0, done.stderr
    return home / "finished", json.loads(done.stdout)


def test_the_json_of_a_run_carries_what_was_promised(
    finished: tuple[Path, dict[str, object]],
) -> None:
    _, run = finished
    assert {"run_id", "model_digest", "auroc", "auroc_released", "accuracy", "sites"} <= set(run)
    assert set(run["auroc_released"]) == {"value", "low", "high", "note"}  # type: ignore[call-overload]
    for site in ("east", "north", "south", "west"):
        spent = run["epsilon"][site]  # type: ignore[index]
        assert 0 < spent["epsilon"] <= 4
        assert (spent["unit"], spent["delta"]) == ("patient", 1e-3)
        assert 0 <= run["sites"][site]["accuracy"] <= 1  # type: ignore[index]
        found = run["sites"][site]["second_opinion"]  # type: ignore[index]
        assert found["engine"] == "chain" and 0 <= found["engine_distance"] < 1e-5
        assert found["opacus"][0].isdigit() and 0 <= found["opacus_distance"] < 1e-5
        assert abs(found["opacus_epsilon"] - spent["epsilon"]) < 0.03
    assert run["audit"]["size"] > 10  # type: ignore[index]
    assert len(run["audit"]["root"]) == 64  # type: ignore[index]


def test_the_run_can_be_listed_shown_verified_and_exported(
    finished: tuple[Path, dict[str, object]], tmp_path: Path
) -> None:
    out, run = finished
    assert open_to_others(out) == []
    listed = json.loads(ask("runs", "list", "--out", out, "--json").stdout)
    assert [line["run_id"] for line in listed] == [run["run_id"]]
    shown = json.loads(ask("runs", "show", run["run_id"], "--out", out, "--json").stdout)
    assert shown == run | {"alerts": []}  # alerts stand beside a run, and are none of its facts
    verified = json.loads(ask("audit", "verify", "--out", out, "--json").stdout)
    assert (verified["verified"], verified["ledgers"]) == (True, 4)
    assert verified["size"] > run["audit"]["size"]  # type: ignore[index]  # its page was logged then
    for form in ("html", "json", "csv"):
        to = tmp_path / f"report.{form}"
        done = ask("report", "export", run["run_id"], "--to", to, "--out", out)
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith(f"wrote {to} ({form})")
        assert str(run["model_digest"]) in to.read_text()


def test_a_changed_byte_anywhere_is_found(finished: tuple[Path, dict[str, object]]) -> None:
    out, run = finished
    snapshot = out / "snapshots" / f"{run['model_digest']}.safetensors"
    whole = snapshot.read_bytes()
    snapshot.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        done = ask("audit", "verify", "--out", out)
        assert done.returncode == 2
        assert "was changed: its parameters have another digest" in done.stdout
    finally:
        snapshot.write_bytes(whole)


def test_a_rewritten_log_is_found(finished: tuple[Path, dict[str, object]], tmp_path: Path) -> None:
    out, _ = finished
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", out, copy], check=True)
    with sqlite3.connect(copy / "collegium.db") as connection:
        connection.execute("DROP TRIGGER audit_entry_no_update")
        connection.execute(
            "UPDATE audit_entry SET entry = CAST(replace(entry, 'roster', 'rooster') AS BLOB)"
        )
    connection.close()
    done = ask("audit", "verify", "--out", copy)
    assert done.returncode == 2
    assert "audit entry 1 was changed" in done.stdout


FORGERIES = {
    "a privacy claim": "UPDATE run SET sites_json = replace(sites_json, '1e-03', '1e-09') || ' '",
    "exact figures": "UPDATE run SET exact_json = replace(exact_json, '0.', '0.9')",
    # Withheld figures are null: one that gets a value is a forgery like one that is changed.
    "a released figure": "UPDATE release SET payload_json = "
    "replace(replace(payload_json, '0.', '0.9'), 'null', '0.9')",
    "a state": "UPDATE run SET state = 'failed'",
    "a round removed": "DELETE FROM round WHERE number = 1",
    "a round's model": "UPDATE round SET model_digest = 'x' WHERE number = 0",
    "who took part": "UPDATE round SET survivors_json = '[]' WHERE number = 0",
    "a study": "UPDATE study SET document = CAST(replace(document, '0.5', '0.6') AS BLOB)",
    "a roster": "UPDATE run SET roster_json = replace(roster_json, 'east', 'west')",
    "a run removed": "DELETE FROM run",
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_record_that_is_not_what_was_logged_is_found(
    finished: tuple[Path, dict[str, object]], tmp_path: Path, forgery: str
) -> None:
    database = tmp_path / "collegium.db"
    shutil.copy(finished[0] / "collegium.db", database)
    with closing(sqlite3.connect(database)) as connection, connection:
        assert connection.execute(FORGERIES[forgery]).rowcount > 0
    store = Store(database)
    public = Workspace(finished[0]).public_key()
    with pytest.raises(StoreBroken, match="run|study"), store.read() as session:
        verify_records(session, public)
    store.close()


def test_a_ledger_that_went_back_or_is_gone_is_found(
    finished: tuple[Path, dict[str, object]], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished[0], copy)
    with closing(sqlite3.connect(copy / "silos" / "east" / "hospital.db")) as connection:
        for (name,) in connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("DELETE FROM ledger_entry WHERE number > 3")
        connection.commit()
    done = ask("audit", "verify", "--out", copy)
    assert done.returncode == 2
    assert "the ledger went back in time" in done.stdout
    shutil.rmtree(copy / "silos" / "east")
    done = ask("audit", "verify", "--out", copy)
    assert done.returncode == 2
    assert "hospital east: its ledger is missing" in done.stdout


@pytest.mark.long
def test_a_refused_study_leaves_its_folder_free(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "data", tmp_path / "data")
    text = (tmp_path / "data" / "east.csv").read_text()
    (tmp_path / "data" / "east.csv").write_text(text.replace("\n", "\nold", 1))
    where = ("--data", tmp_path / "data", "--out", tmp_path / "out")
    done = start("simulate", home / "study.yaml", *where, "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "site east" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_the_records_can_be_checked_before_anything_starts(home: Path) -> None:
    done = ask("study", "check", home / "study.yaml", "--data", home / "data", "--json")
    assert done.returncode == 0, done.stderr
    east = json.loads(done.stdout)["sites"]["east"]
    assert east["whole"]["patients"] == 40
    assert [east[part]["patients"] for part in ("train", "test")] == ["not shown", "fewer than 10"]


@pytest.mark.long
def test_fixed_noise_gives_the_same_model_however_the_work_is_spread(home: Path) -> None:
    runs = []
    for out, spread in (("fixed-1", ()), ("fixed-2", ("--processes", 2))):
        done = simulate(home, out, "--test-noise", "--seed", 5, "--json", *spread)
        assert done.returncode == 0, done.stderr
        runs.append(json.loads(done.stdout))
    assert runs[0]["model_digest"] == runs[1]["model_digest"]
    assert runs[0]["auroc"] == runs[1]["auroc"]
    assert runs[0]["environment"]["gradient engine"] == "chain"
    assert runs[0]["claim"].startswith("No privacy is claimed")
    logs = {
        home.name: (home / "silo.log").is_file() for home in (home / "fixed-2" / "silos").iterdir()
    }
    assert logs == dict.fromkeys(runs[1]["sites"], True)


@pytest.mark.long
def test_after_a_run_the_coordinators_process_holds_no_torch(home: Path) -> None:
    program = """
import sys
from pathlib import Path
from collegium.output.progress import unwatched
from collegium.simulation.settings import SimulationSettings
from collegium.simulation.simulate import simulate_study
from tests.support.simulated.studies import small_study
home = Path(sys.argv[1])
settings, out = SimulationSettings(data=home / "data", processes=1), home / "modules"
simulate_study(small_study(), home, out, settings, unwatched)
heavy = {"torch", "monai", "opacus"} & {name.split(".")[0] for name in sys.modules}
print("heavy modules:", sorted(heavy))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(home)],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
        cwd=ROOT,
    )  # fmt: skip
    assert done.stdout.strip() == "heavy modules: []", done.stderr


def started(home: Path, out: str, rounds: int) -> subprocess.Popen[str]:
    """Starts a long run and returns when its second round is done."""
    study = home / f"{out}.yaml"
    study.write_text(changed("rounds: 2", f"rounds: {rounds}").replace("epsilon: 4", "epsilon: 9"))
    where = ("--data", str(home / "data"), "--out", str(home / out), "--budget", "60")
    where = (*where, "--processes", "1")
    # A shell without job control starts us deaf to Ctrl-C, and the command would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [*COMMAND, "simulate", str(study), *where], stderr=subprocess.PIPE, text=True
    )
    for line in process.stderr or ():
        if f"round 2 of {rounds}" in line:
            return process
    pytest.fail("the run ended before its second round")


def kill(process: subprocess.Popen[str], out: Path) -> None:
    """Kills a run, and waits until its orphaned hospitals have let go of their folder."""
    process.kill()
    process.wait(timeout=PATIENCE)
    assert process.stderr is not None
    process.stderr.close()
    until(lambda: not is_used(out))


def is_used(folder: Path) -> bool:
    """Whether some process has a file below the folder open."""
    for opened in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):  # it ended, or is another user's
            if opened.readlink().is_relative_to(folder):
                return True
    return False


def sent_and_finished(out: Path) -> tuple[list[int], int]:
    """Returns how many releases each ledger holds as SENT, and how many rounds were finished."""
    sent = []
    for path in sorted(out.glob("silos/*/hospital.db")):
        with sqlite3.connect(path) as connection:
            query = "SELECT count(*) FROM ledger_entry WHERE state = 'SENT'"
            sent.append(connection.execute(query).fetchone()[0])
        connection.close()
    with sqlite3.connect(out / "collegium.db") as connection:
        query = "SELECT count(*) FROM round WHERE state = 'finished'"
        rounds = connection.execute(query).fetchone()[0]
    connection.close()
    return sent, rounds


@pytest.mark.long
def test_a_killed_run_leaves_readable_databases_and_an_honest_ledger(home: Path) -> None:
    process = started(home, "killed", 400)
    assert len(list((home / "killed").rglob("*"))) > 20
    assert open_to_others(home / "killed") == []
    kill(process, home / "killed")
    sent, rounds = sent_and_finished(home / "killed")
    assert len(sent) == 4
    assert min(sent) >= rounds >= 2
    listed = json.loads(ask("runs", "list", "--out", home / "killed", "--json").stdout)
    assert [line["state"] for line in listed] == ["interrupted"]
    verified = ask("audit", "verify", "--out", home / "killed")
    assert verified.returncode == 0, verified.stderr


@pytest.mark.long
def test_after_a_killed_run_the_same_patients_pay_for_both(home: Path) -> None:
    out = home / "again"
    process = started(home, out.name, 400)
    kill(process, out)
    killed = json.loads(ask("silo", "budget", "--out", out, "--json").stdout)["hospitals"]
    assert all(budget["open_reservations"] for budget in killed.values())
    done = simulate(home, out.name, "--split-seed", 7, "--json")
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    listed = json.loads(ask("runs", "list", "--out", out, "--json").stdout)
    assert [line["state"] for line in listed] == ["finished", "failed"]
    failed = json.loads(ask("runs", "show", listed[1]["run_id"], "--out", out, "--json").stdout)
    assert "its process ended before the run did" in failed["failure"]
    budgets = json.loads(ask("silo", "budget", "--out", out, "--json").stdout)["hospitals"]
    assert set(budgets) == set(killed)
    for site, budget in budgets.items():
        before, after = (b["partitions"]["training"] for b in (killed[site], budget))
        assert budget["epsilon_max"] == killed[site]["epsilon_max"]
        assert budget["open_reservations"] == [] and after["share_reserved"] == 0
        assert after["share_spent"] > before["share_spent"] > 0
        assert run["epsilon"][site]["budget_share"] == pytest.approx(after["share_spent"])
    verified = ask("audit", "verify", "--out", out)
    assert verified.returncode == 0, verified.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    "how", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)]
)
def test_a_run_that_is_stopped_says_so(home: Path, how: signal.Signals) -> None:
    out = f"stopped-{how.name.lower()}"
    process = started(home, out, 400)
    process.send_signal(how)
    assert process.stderr is not None
    said = process.stderr.read()
    assert process.wait(timeout=PATIENCE) == 130
    process.stderr.close()
    assert "Traceback" not in said
    assert "what was finished is kept" in said
    listed = json.loads(ask("runs", "list", "--out", home / out, "--json").stdout)
    assert [line["state"] for line in listed] == ["stopped"]
    sent, rounds = sent_and_finished(home / out)
    assert min(sent) >= rounds >= 2


@pytest.fixture(scope="module")
def hospitals(home: Path) -> Iterator[Consortium]:
    """Four started hospitals for many small runs."""
    workspace = Workspace.create(home / "many")
    settings = SimulationSettings(data=home / "data", budget=8.0, processes=1)
    with consortium(workspace, small_study(), settings) as started:
        yield started


FAULTS = {
    "a missing column": (lambda t: t.replace("age,ward", "years,ward"), "east.*'?age"),
    "text in a numeric column": (lambda t: t.replace("\n", "\nold", 1), "east.*age.*line 2"),
    "not a number": (lambda t: t.replace("\n", "\nNaN,A,p,1\n", 1), "east.*age.*line 2"),
    "outside the vocabulary": (lambda t: t.replace(",A,", ",Z,", 1), "east.*ward.*line 2"),
    "no patient key": (lambda t: t.replace("east-0", "", 1), "east.*patient.*line 2"),
    "a label of no meaning": (lambda t: t.replace(",1\n", ",7\n", 1), "east.*ill.*line"),
    "no rows": (lambda t: t.splitlines()[0] + "\n", "east.*no rec|east.*empty"),
    "too few patients": (
        lambda t: "\n".join(t.splitlines()[:3]) + "\n",
        "east: fewer than 10 p",
    ),
    "one class only": (lambda t: t.replace(",1\n", ",0\n"), "east.*one class only"),
}


@pytest.mark.long
@pytest.mark.parametrize("name", short_form(FAULTS, 4))
def test_records_that_do_not_fit_are_refused(
    hospitals: Consortium, home: Path, tmp_path: Path, name: str
) -> None:
    """The quick form of all cases, and of forty more: silos/preflight/test_planted_faults.py."""
    change, said = FAULTS[name]
    for path in (home / "data").iterdir():
        text = path.read_text()
        (tmp_path / path.name).write_text(change(text) if path.name == "east.csv" else text)
    elsewhere = replace(hospitals, data=tmp_path)
    with pytest.raises(CohortRefused, match=said) as refusal:
        run_study(
            elsewhere,
            small_study(),
            None,
            new_run_id() + f"-{list(FAULTS).index(name)}",
            None,
            Silent(),
        )
    assert len(str(refusal.value).splitlines()) <= 2
    assert str(tmp_path) not in str(refusal.value)


@pytest.mark.long
def test_a_run_that_cannot_be_written_down_says_why(hospitals: Consortium) -> None:
    """The error is the beginning's own, not that the row to close is missing."""
    with pytest.raises(ValueError, match="run: expected text of the form"):
        run_study(hospitals, small_study(), None, "a name with spaces", None, Silent())


@pytest.mark.long
def test_a_study_that_costs_too_much_is_refused(hospitals: Consortium) -> None:
    costly = read_study(changed("epsilon: 4", "epsilon: 40"))
    with pytest.raises(BudgetSpent, match="site east: .*does not suffice"):
        run_study(hospitals, costly, None, new_run_id() + "x", None, Silent())


@pytest.mark.long
def test_a_hospital_larger_than_declared_is_refused(hospitals: Consortium) -> None:
    study = read_study(changed("east.csv, patients: 40", "east.csv, patients: 20"))
    with pytest.raises(FederationError, match="site east: .* the study declares 20 for it"):
        run_study(hospitals, study, None, new_run_id() + "y", None, Silent())
