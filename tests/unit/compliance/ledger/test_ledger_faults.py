"""The ledger under kill -9, two processes, clocks, old copies and a full disk.

Run as a program this file is the process that gets killed, races or has no
room: see ``main``. It only uses what a hospital uses.
"""

import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

from compliance.ledger.entries import PICO, Entry, Reservation, State
from compliance.privacy.events import SampledGaussian
from protocol.encoding import blob_digest
from protocol.errors import BudgetSpent, LedgerBroken, StoreBroken
from silos.database.database import SiteDatabase, open_hospital
from silos.rounds.release_gate import require_paid
from tests import ROOT
from tests.support.machine.patience import PATIENCE
from tests.support.simulated.bookings import HELD

#: 0.02 rho a step at the order of epsilon 8, which holds 4.912.
ROUNDS, STEPS_A_ROUND = 2, 10
PLAN = SampledGaussian(noise_multiplier=10.0, sampling_rate=1.0, steps=50)
SHARE = SampledGaussian(noise_multiplier=10.0, sampling_rate=1.0, steps=STEPS_A_ROUND)


def share(releases: int, steps: int = STEPS_A_ROUND) -> float:
    """Which part of the budget so many releases take."""
    return 0.02 * steps * releases / HELD


def reserve(hospital: SiteDatabase, run: str = "run-1", steps: int = 50) -> Reservation:
    hospital.ledger.open_budget(epsilon_max=8.0, delta=2e-5, signed_by="officer")
    return hospital.ledger.reserve(
        study="s" * 64, run=run, partition="training", round_kind="training",
        event=SampledGaussian(noise_multiplier=10.0, sampling_rate=1.0, steps=steps),
    )  # fmt: skip


def send(hospital: SiteDatabase, plan: Reservation, context: str, outbox: Path) -> str:
    """What a hospital does for one round; returns the ledger's head after it.

    Bytes that were kept before a crash are sent again; otherwise new noise is
    drawn. Nothing is written to the outbox, which stands for the network,
    before the hospital's door has seen the ledger's token.
    """
    blob = hospital.blob(context) or os.urandom(64)
    name = blob_digest(blob)
    hospital.keep_blob(context, blob, name)
    token = hospital.ledger.mark_sent(plan, context=context, event=SHARE, blob=name, content=name)
    require_paid(hospital.ledger, token, blob)
    with outbox.open("a") as network:
        network.write(f"{context} {name} {token.head}\n")
    return token.head


def entries(hospital: SiteDatabase) -> list[Entry]:
    with hospital.transaction() as guard:
        return list(guard.entries())


def work(folder: Path) -> None:
    """A whole run, from reserving to settling; done again after a crash, but not once settled."""
    hospital = open_hospital(folder / "north.db", site="north")
    if any(entry.state is State.SETTLED for entry in entries(hospital)):
        return
    plan = reserve(hospital)
    for number in range(ROUNDS):
        send(hospital, plan, f"round {number}", folder / "outbox")
    hospital.ledger.settle(plan)
    hospital.close()


def kill_at(place: int) -> Callable[[], int]:
    """Kills this process at one of its database's and disk's steps; returns how to count them."""
    done = 0

    def tick(*_: object, **__: object) -> None:
        nonlocal done
        done += 1
        if done == place:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", tick)
    event.listen(Engine, "commit", tick)  # before the commit ...
    event.listen(Session, "after_commit", tick)  # ... and after it
    sync = os.fsync

    def counted_sync(fd: Any) -> None:
        tick()
        sync(fd)
        tick()

    os.fsync = counted_sync
    return lambda: done


def in_a_child(job: Callable[[], object]) -> int:
    """Runs a job in a forked process; returns its wait status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        job()
        os._exit(0)
    except BaseException:  # noqa: BLE001 - a forked child must end here
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def new_hospital(folder: Path) -> None:
    """A hospital that was never asked anything; made once and copied, as that takes longest."""
    made = folder.parent / "made"
    if not made.exists():
        open_hospital(made / "north.db", site="north").close()
    shutil.copytree(made, folder)


def count_steps(folder: Path) -> int:
    new_hospital(folder)

    def job() -> None:
        steps = kill_at(0)
        work(folder)
        (folder / "steps").write_text(str(steps()))

    if in_a_child(job) != 0:
        raise SystemExit("the run without a kill failed")
    return int((folder / "steps").read_text())


def look(folder: Path) -> dict[str, Any]:
    """What lies in a folder right after the kill: read by the system's own SQLite."""
    path, outbox = folder / "north.db", folder / "outbox"
    rows: list[tuple[str, str, str]] = []
    if path.exists():
        with sqlite3.connect(path) as connection:
            query = "SELECT context, blob, hash FROM ledger_entry WHERE state = 'SENT'"
            rows = connection.execute(query).fetchall()
        connection.close()
    return {"sent": rows, "left": outbox.read_text().split("\n")[:-1] if outbox.exists() else []}


def killed_and_restarted(folder: Path, place: int) -> dict[str, Any]:
    new_hospital(folder)

    def job() -> None:
        kill_at(place)
        work(folder)

    status = in_a_child(job)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    after_kill = look(folder)
    restarted = in_a_child(lambda: work(folder))
    found = {"place": place, "killed": killed, "after_kill": after_kill, "restarted": restarted}
    return found | {"end": look(folder)}


def sweep(folder: Path, every: int) -> None:
    """Kills a run at every so-manieth step, starts it again, and prints what was found."""
    total = count_steps(folder / "whole")
    for place in range(1, total + 1, every):
        print(json.dumps(killed_and_restarted(folder / str(place), place)), flush=True)


def spend_all(folder: Path, run: str, place: str) -> None:
    """Reserves 0.2 rho again and again until nothing is left; prints how often it was admitted."""
    hospital, admitted = open_hospital(place, site="north", blobs=folder / "north-blobs"), 0
    (folder / f"{run}.ready").touch()
    while len(list(folder.glob("*.ready"))) < 2:
        time.sleep(0.001)
    try:
        while True:
            reserve(hospital, f"{run}-{admitted}", steps=10)
            admitted += 1
            time.sleep(0.02)  # SQLite's queue is not a fair one
    except BudgetSpent:
        print(admitted)
    hospital.close()


def fill_up(folder: Path, room: int) -> None:
    """Books until files may not grow any more; prints what was acknowledged, and the refusal."""
    hospital = open_hospital(folder / "north.db", site="north")
    plan = reserve(hospital, steps=200)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    acknowledged: list[str] = []
    try:
        for number in range(200):
            event = SampledGaussian(noise_multiplier=10.0, sampling_rate=1.0, steps=1)
            name = f"round {number}"
            token = hospital.ledger.mark_sent(
                plan, context=name, event=event, blob=name, content=name
            )
            acknowledged.append(token.head)
    except StoreBroken as error:
        print(json.dumps({"heads": acknowledged, "kind": type(error).__name__, "why": str(error)}))


def main(job: str, folder: str, *words: str) -> None:
    """Runs one of the jobs above in this process."""
    if job == "sweep":
        sweep(Path(folder), int(words[0]))
    elif job == "spend":
        spend_all(Path(folder), *words)
    else:
        fill_up(Path(folder), int(words[0]))


def started(*words: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, __file__, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def answered(process: "subprocess.Popen[str]") -> str:
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, err
    return out


@pytest.fixture(scope="module", params=[3, pytest.param(1, marks=pytest.mark.long)])
def deaths(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[dict[str, Any]]:
    """One run killed at each of its steps, or at every third, and started again."""
    folder = tmp_path_factory.mktemp("deaths")
    lines = answered(started("sweep", folder, request.param)).splitlines()
    assert len(lines) > 50 / request.param
    return [json.loads(line) for line in lines]


@pytest.mark.long
def test_every_step_was_killed_once(deaths: list[dict[str, Any]]) -> None:
    assert [death["place"] for death in deaths if not death["killed"]] == []
    assert {len(death["after_kill"]["sent"]) for death in deaths} == set(range(ROUNDS + 1))
    assert {len(death["after_kill"]["left"]) for death in deaths} == set(range(ROUNDS + 1))


def test_nothing_left_that_was_not_booked_before(deaths: list[dict[str, Any]]) -> None:
    for death in deaths:
        booked = {" ".join(row) for row in death["after_kill"]["sent"]}
        assert set(death["after_kill"]["left"]) <= booked, death["place"]


def test_restart_after_any_kill_finishes_the_run(deaths: list[dict[str, Any]]) -> None:
    assert [death["place"] for death in deaths if death["restarted"] != 0] == []


def test_no_kill_makes_a_hospital_release_twice(deaths: list[dict[str, Any]]) -> None:
    """A round may leave again after the restart, but as the same bytes under the same booking."""
    for death in deaths:
        left = death["end"]["left"]
        assert len(set(left)) == ROUNDS <= len(left), death["place"]


def test_no_kill_loses_or_doubles_a_charge(
    deaths: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = next(tmp_path_factory.getbasetemp().glob("deaths*"))
    for death in deaths:
        assert set(map(tuple, death["after_kill"]["sent"])) <= set(map(tuple, death["end"]["sent"]))
        hospital = open_hospital(folder / str(death["place"]) / "north.db", site="north")
        hospital.ledger.verify(remembered=[line.split()[-1] for line in death["end"]["left"]])
        line = hospital.ledger.summary().of("training")
        hospital.close()
        assert line.spent == pytest.approx(share(ROUNDS)), death["place"]
        assert line.reserved == 0.0, death["place"]


def test_two_studies_in_two_processes_cannot_jointly_overrun(
    tmp_path: Path, place_of: Callable[[str], Path | str]
) -> None:
    place = place_of("north")
    hospital = open_hospital(place, site="north", blobs=tmp_path / "north-blobs")
    hospital.ledger.open_budget(epsilon_max=8.0, delta=2e-5, signed_by="officer")
    both = [started("spend", tmp_path, run, place) for run in ("first", "second")]
    admitted = [int(answered(process)) for process in both]
    summary = hospital.ledger.summary()
    assert min(admitted) > 0 and sum(admitted) == 24  # 24 x 0.2 of 4.912
    assert summary.of("training").reserved == pytest.approx(share(24))
    assert summary.num_entries == 24 and hospital.ledger.verify()
    hospital.close()


def test_clock_set_back_changes_nothing(tmp_path: Path) -> None:
    times = iter(f"{year}-01-01T00:00:00.000Z" for year in range(2040, 1970, -1))
    hospital = open_hospital(tmp_path / "north.db", site="north", clock=lambda: next(times))
    plan = reserve(hospital)
    heads = [send(hospital, plan, f"round {number}", tmp_path / "outbox") for number in range(3)]
    assert reserve(hospital) == plan
    assert hospital.ledger.verify(remembered=heads) == heads[-1]
    assert hospital.ledger.summary().of("training").spent == pytest.approx(share(3))
    with pytest.raises(BudgetSpent, match="does not suffice"):
        reserve(hospital, "run-2", steps=200)
    hospital.close()


@pytest.fixture
def restored(tmp_path: Path) -> Iterator[tuple[SiteDatabase, str]]:
    """A hospital whose ledger is a copy from before its last release, and that release's head."""
    path = tmp_path / "north.db"
    hospital = open_hospital(path, site="north")
    plan = reserve(hospital)
    send(hospital, plan, "round 0", tmp_path / "outbox")
    hospital.close()
    shutil.copy(path, tmp_path / "backup")
    hospital = open_hospital(path, site="north")
    newest = send(hospital, plan, "round 1", tmp_path / "outbox")
    hospital.close()
    shutil.copy(tmp_path / "backup", path)
    hospital = open_hospital(path, site="north")
    yield hospital, newest
    hospital.close()


def test_restored_old_ledger_is_found_out_by_a_remembered_head(
    restored: tuple[SiteDatabase, str],
) -> None:
    hospital, newest = restored
    assert hospital.ledger.verify() != newest  # the chain alone cannot know
    with pytest.raises(
        LedgerBroken, match=f"went back in time: it once had the head {newest[:16]}"
    ):
        hospital.ledger.verify(remembered=[newest])


def test_restored_old_ledger_that_went_on_is_found_out_as_well(
    restored: tuple[SiteDatabase, str], tmp_path: Path
) -> None:
    hospital, newest = restored
    hospital.ledger_heads.path.unlink()
    hospital.ledger.accept_copy([])
    for number in (2, 3):
        send(hospital, reserve(hospital), f"round {number}", tmp_path / "outbox")
    with pytest.raises(LedgerBroken, match="went back in time"):
        hospital.ledger.verify(remembered=[newest])


def test_file_that_may_not_grow_ends_in_a_refusal_and_loses_nothing(tmp_path: Path) -> None:
    """The system refuses every write beyond 320 kB, in the middle of a booking."""
    found = json.loads(answered(started("fill", tmp_path, 320_000)))
    assert found["kind"] == "LedgerBroken" and 1 < len(found["heads"]) < 200
    assert "nothing was changed. Check disk space" in found["why"]
    hospital = open_hospital(tmp_path / "north.db", site="north")
    assert hospital.ledger.verify(remembered=found["heads"]) == found["heads"][-1]
    assert hospital.ledger.summary().of("training").spent == pytest.approx(
        share(len(found["heads"]), steps=1)
    )
    hospital.close()


def test_database_without_a_free_page_refuses_and_goes_on_when_there_is_room(
    tmp_path: Path,
) -> None:
    hospital = open_hospital(tmp_path / "north.db", site="north")
    plan = reserve(hospital, steps=200)

    def limit(connection: Any, pages: int = 1) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")  # never below what is in use

    hospital.close()
    event.listen(hospital._engine, "connect", lambda connection, _: limit(connection))
    sent = 0
    with pytest.raises(LedgerBroken, match=r"disk is full.*nothing was changed"):
        for sent in range(200):
            send(hospital, plan, f"round {sent}", tmp_path / "outbox")
    assert sum(e.state is State.SENT for e in entries(hospital)) == sent
    hospital.close()
    again = open_hospital(tmp_path / "north.db", site="north")
    send(again, plan, f"round {sent}", tmp_path / "outbox")
    spent = sum(entry.rho_upper for entry in entries(again) if entry.state is State.SENT)
    assert spent / PICO == pytest.approx(0.2 * (sent + 1)) and again.ledger.verify()
    again.close()


def test_masked_vector_without_room_is_refused_and_leaves_no_half_file(tmp_path: Path) -> None:
    hospital = open_hospital(tmp_path / "north.db", site="north")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    blob = os.urandom(1 << 20)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 19, before[1]))
    try:
        with pytest.raises(StoreBroken, match="a masked vector cannot be kept: File too large"):
            hospital.keep_blob("round 0", blob, blob_digest(blob))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert hospital.blob("round 0") is None
    assert list((tmp_path / "north-blobs").iterdir()) == []
    hospital.keep_blob("round 0", blob, blob_digest(blob))
    assert hospital.blob("round 0") == blob
    hospital.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
