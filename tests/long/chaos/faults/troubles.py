"""Full disks, wrong clocks, certificates that end, and databases that are held or gone."""

import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from coordinator.membership.certificates import BACKDATED
from coordinator.membership.directory import open_members
from protocol.identity.roster import SigningKey
from protocol.transport.enrolment import (
    SILO_LIFE,
    CertificateReply,
    parse,
    request_renewal,
    to_bytes,
)
from silos.config.credentials import Credentials
from silos.network.client import CoordinatorClient
from tests.long.chaos.faults.fault import Fault
from tests.long.chaos.points import Point, arm, armed, disk_full, disk_full_for_a_while, replaced
from tests.long.chaos.stage import HASTY, Stage
from tests.support.networked.network import until

_SENT = "compliance.ledger.ledger:Ledger.mark_sent"
_CLOSE = "protocol.secagg.server:SecAggServer.close"
_IN_EAST = "silo east"
_HOUR = 3600
#: Due three seconds later; a certificate is dated back, so that its life is a little longer.
_UNTIL_DUE = 3 + BACKDATED.total_seconds() / 3


def _resume_when_mended(stage: Stage, mended: Callable[[], None] = lambda: None) -> None:
    """Does what the coordinator's people do when a run waits for them; the run goes on."""
    service = stage.service
    assert service is not None
    until(lambda: any(run["blocked_reason"] for run in service.status()["runs"]))
    mended()
    service.steer(stage.run_id, "resume")
    stage.wait()


def _hospital_disk_full(point: Point) -> Callable[[Stage], None]:
    """Every write of a hospital's process fails for two seconds, from a point on."""

    def play(stage: Stage) -> None:
        stage.serve()
        stage.start_but_east()
        stage.child_of_east(point, disk_full_for_a_while)
        stage.begin()
        stage.wait()

    return play


def _coordinator_disk_full(point: Point) -> Callable[[Stage], None]:
    """One write of the coordinator fails; room is made; its people let the run go on."""

    def play(stage: Stage) -> None:
        stage.serve()
        stage.start()
        with armed(point, disk_full):
            stage.begin()
            _resume_when_mended(stage)

    return play


def _uploads_find_no_room(stage: Stage) -> None:
    """The coordinator has no room for uploads during round 2; hospitals send them again."""
    stage.serve()
    stage.start()
    ends: list[Callable[[], None]] = []

    def full() -> None:
        ends.append(
            arm(Point(target="coordinator.delivery.blob_store:BlobStore.append", call=0), disk_full)
        )
        threading.Timer(2.0, ends[0]).start()

    with armed(Point(target=_CLOSE, about="share", call=2, after=True), full):
        stage.begin()
        stage.wait()


def _clock_of_east(ahead: float) -> Callable[[Stage], None]:
    def play(stage: Stage) -> None:
        def skewed(original: type[CoordinatorClient]) -> Callable[..., CoordinatorClient]:
            def made(site: str, *others: Any, **named: Any) -> CoordinatorClient:
                off = ahead if site == "east" else 0.0
                return original(site, *others, **named, clock=lambda: time.time() + off)

            return made

        stage.until_closed(replaced("silos.network.supervisor:CoordinatorClient", skewed))
        stage.serve()
        stage.start()
        stage.begin()
        stage.wait()

    return play


def _clock_set_back(stage: Stage) -> None:
    """The coordinator is killed; its clock is an hour behind when it comes back."""
    back = SimpleNamespace(time_ns=lambda: time.time_ns() - _HOUR * 10**9, monotonic=time.monotonic)
    stage.until_closed(replaced("coordinator.delivery.deliveries:time", lambda _: back))
    stage.kill_coordinator(Point(target=_CLOSE, about="masked", call=2, after=True))
    stage.serve()
    stage.wait()


def _certify_east(stage: Stage, left: timedelta) -> Credentials:
    """Gives east a certificate of which so much time is left."""
    past = datetime.now(UTC) - SILO_LIFE + left
    credentials = Credentials(stage.east.home / "tls", "east", clock=lambda: past)
    hospital = stage.east.open()
    key = SigningKey.from_bytes(hospital.identity_key)
    hospital.close()
    request = to_bytes(request_renewal("east", credentials.request(), key))
    with open_members(stage.home, clock=lambda: past) as members:
        credentials.keep(parse(CertificateReply, members.renew("east", request)).chain)
    return Credentials(stage.east.home / "tls", "east")


def _begin_and_pause_after_round_1(stage: Stage) -> None:
    service = stage.service
    assert service is not None
    pause = lambda: service.steer(stage.run_id, "pause")  # noqa: E731
    with armed(Point(target="coordinator.rounds.training:Runner._forget"), pause):
        stage.begin()
        stage.until_finished(1)


def _go_on(stage: Stage) -> None:
    assert stage.service is not None
    stage.service.steer(stage.run_id, "resume")
    stage.wait()


def _certificate_renewed(stage: Stage) -> None:
    """In some seconds two thirds of the certificate's life are past: it is renewed in the run."""
    credentials = _certify_east(stage, SILO_LIFE / 3 + timedelta(seconds=_UNTIL_DUE))
    before = credentials.expires
    stage.serve()
    stage.start()
    _begin_and_pause_after_round_1(stage)
    until(lambda: credentials.expires > before)
    _go_on(stage)


def _certificate_expires(stage: Stage) -> None:
    never_due = property(lambda _: False)
    stage.until_closed(replaced("silos.config.credentials:Credentials.due", lambda _: never_due))
    stage.serve()
    credentials = _certify_east(stage, timedelta(seconds=15))
    stage.start()
    _begin_and_pause_after_round_1(stage)
    until(lambda: credentials.expired)
    time.sleep(1.5)  # what the coordinator knows of a certificate is a second old at most
    _go_on(stage)


def _certificate_revoked(stage: Stage) -> None:
    stage.serve()
    stage.start()
    _begin_and_pause_after_round_1(stage)
    with open_members(stage.home) as members:
        members.revoke("east", "a laptop was lost")
    time.sleep(1.5)
    _go_on(stage)


def _hold(database: Path, seconds: float) -> None:
    """Holds a database as another program would that forgot to end its transaction."""
    other = sqlite3.connect(database, check_same_thread=False, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    def release() -> None:
        other.execute("ROLLBACK")
        other.close()

    threading.Timer(seconds, release).start()


def _take_away(database: Path) -> Callable[[], None]:
    """Removes a database; returns what brings it back."""
    away = database.parent / "away"
    away.mkdir()
    for path in database.parent.glob(f"{database.name}*"):
        path.rename(away / path.name)

    def bring_back() -> None:
        for path in database.parent.glob(f"{database.name}*"):
            path.unlink()
        for path in away.iterdir():
            path.rename(database.parent / path.name)

    return bring_back


def _impatient(stage: Stage) -> None:
    """A transaction waits one second for the one before it."""
    stage.until_closed(replaced("compliance.storage.transactions:WAIT_SECONDS", lambda _: 1))


def _ledger_held(stage: Stage) -> None:
    _impatient(stage)
    hold = partial(_hold, stage.east.home / "hospital.db", 4.0)
    with armed(Point(target=_SENT, call=2, thread=_IN_EAST), hold):
        stage.serve()
        stage.start()
        stage.begin()
        stage.wait()


def _consortium_held(stage: Stage) -> None:
    _impatient(stage)
    hold = partial(_hold, stage.home / "collegium.db", 4.0)
    with armed(Point(target=_CLOSE, about="unmask", call=2, after=True), hold):
        stage.serve()
        stage.start()
        stage.begin()
        _resume_when_mended(stage, lambda: time.sleep(4.0))


def _ledger_gone(stage: Stage) -> None:
    """The hospital's file is taken away before it books; brought back, and started again."""
    back: list[Callable[[], None]] = []
    gone = lambda: back.append(_take_away(stage.east.home / "hospital.db"))  # noqa: E731
    with armed(Point(target=_SENT, call=2, thread=_IN_EAST), gone):
        stage.serve()
        stage.start()
        stage.begin()
        until(lambda: bool(back))
        stage.until_finished(2)
    stage.east.stop()
    back[0]()
    stage.start("east")
    stage.wait()


def _consortium_gone(stage: Stage) -> None:
    """The consortium's file is taken away before round 2 is committed; brought back then.

    Connections stay with the file that they opened, so the service is started again.
    """
    back: list[Callable[[], None]] = []
    gone = lambda: back.append(_take_away(stage.home / "collegium.db"))  # noqa: E731
    with armed(Point(target=_CLOSE, about="unmask", call=2, after=True), gone):
        service = stage.serve()
        stage.start()
        stage.begin()
        until(lambda: any(run["blocked_reason"] for run in service.status()["runs"]))
    stage.stop_serving()
    back[0]()
    stage.serve()
    stage.wait()


_HOSPITAL, _COORDINATOR = "a hospital", "the coordinator"
_KEEP = "coordinator.database.round_archive:RoundArchive.keep_vector"

TROUBLES = (
    *(
        Fault(
            what="disk full",
            whom=_HOSPITAL,
            when=when,
            play=_hospital_disk_full(point),
            same_model=False,
            short=short,
        )
        for when, point, short in (
            ("joining", Point(target="compliance.ledger.ledger:Ledger.reserve"), False),
            (
                "round 2, before it signs",
                Point(target="protocol.secagg.client:SecAggClient.advertise", call=2),
                False,
            ),
            (
                "round 2, before the vector is kept",
                Point(target="silos.database.database:SiteDatabase.keep_blob", call=2),
                False,
            ),
            ("round 2, before SENT is booked", Point(target=_SENT, call=2), True),
            ("leaving", Point(target="silos.rounds.participation:Participation.settle"), False),
        )
    ),
    *(
        Fault(
            what="disk full",
            whom=_COORDINATOR,
            when=when,
            play=_coordinator_disk_full(point),
        )
        for when, point in (
            ("first model offered", Point(target="coordinator.delivery.blob_store:BlobStore.keep")),
            ("round 1, a vector comes", Point(target=_KEEP)),
            (
                "round 2, the state is kept",
                Point(target="coordinator.database.server_state:ServerStates.keep", call=2),
            ),
            (
                "the model is written",
                Point(target="coordinator.database.workspace:Workspace.keep_snapshot"),
            ),
        )
    ),
    Fault(what="disk full", whom=_COORDINATOR, when="round 2, uploads", play=_uploads_find_no_room),
    Fault(what="clock an hour ahead", whom=_HOSPITAL, when="always", play=_clock_of_east(_HOUR)),
    Fault(what="clock an hour behind", whom=_HOSPITAL, when="always", play=_clock_of_east(-_HOUR)),
    Fault(
        what="clock set back an hour",
        whom=_COORDINATOR,
        when="round 2, killed and started again",
        play=_clock_set_back,
    ),
    Fault(
        what="certificate renewed",
        whom=_HOSPITAL,
        when="in mid-run",
        play=_certificate_renewed,
    ),
    Fault(
        what="certificate expires",
        whom=_HOSPITAL,
        when="between rounds 1 and 2",
        play=_certificate_expires,
        pace=HASTY,
        nothing_open=False,
    ),
    Fault(
        what="revoked",
        whom=_HOSPITAL,
        when="between rounds 1 and 2",
        play=_certificate_revoked,
        pace=HASTY,
        nothing_open=False,
    ),
    Fault(
        what="database locked",
        whom=_HOSPITAL,
        when="round 2, before SENT is booked",
        play=_ledger_held,
    ),
    Fault(
        what="database locked",
        whom=_COORDINATOR,
        when="round 2, before it is committed",
        play=_consortium_held,
    ),
    Fault(
        what="database gone, brought back",
        whom=_HOSPITAL,
        when="round 2, before SENT is booked",
        play=_ledger_gone,
        same_model=False,
    ),
    Fault(
        what="database gone, brought back",
        whom=_COORDINATOR,
        when="round 2, before it is committed",
        play=_consortium_gone,
        short=True,
    ),
)
