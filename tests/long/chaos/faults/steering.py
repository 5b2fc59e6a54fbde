"""What people do to a run: pause, resume, stop, kill switch, two supervisors, another roster."""

import time
from dataclasses import replace

from coordinator.membership.authority import Authority
from coordinator.membership.directory import open_members
from protocol.errors import WorkspaceRefused
from protocol.identity.roster import SigningKey, sign_roster
from silos.config.directory import alone
from silos.network.enrolment import enrol
from tests.long.chaos.faults.fault import Fault
from tests.long.chaos.points import Point, armed
from tests.long.chaos.stage import HASTY, Stage
from tests.support.networked.network import Site, until

_ANSWER = "silos.rounds.silo:Silo.answer"
_CLOSE = "protocol.secagg.server:SecAggServer.close"


def _paused_and_resumed(stage: Stage) -> None:
    """Paused in the middle of round 1: that round ends, and no other begins until resumed."""
    service = stage.serve()
    stage.start()
    pause = lambda: service.steer(stage.run_id, "pause")  # noqa: E731
    with armed(Point(target=_CLOSE, about="share"), pause):
        stage.begin()
        stage.until_finished(1)
    time.sleep(1.0)
    assert len(stage.rounds()) == 1, "a round began while the run was paused"
    service.steer(stage.run_id, "resume")
    stage.wait()


def _stopped(stage: Stage) -> None:
    service = stage.serve()
    stage.start()
    with armed(
        Point(target=_CLOSE, about="share", call=2), lambda: service.steer(stage.run_id, "stop")
    ):
        stage.begin()
        stage.wait()


def _service_ended(stage: Stage) -> None:
    """The service ends in the middle of round 2, as at an upgrade, and is started again."""
    stage.serve()
    stage.start()
    stage.begin()
    stage.until_finished(1)
    stage.stop_serving()
    stage.serve()
    stage.wait()


def _kill_switch(stage: Stage) -> None:
    """East's own people end its supervisor in mid-round, and start it again."""
    stage.serve()
    stage.start()
    end = lambda: stage.east.supervisor.stop()  # type: ignore[union-attr]  # noqa: E731
    point = Point(target=_ANSWER, about="masked", call=2, after=True, thread="silo east")
    with armed(point, end):
        stage.begin()
        until(lambda: not stage.east.is_alive)
    stage.start("east")
    stage.wait()


def _kill_switch_for_good(stage: Stage) -> None:
    stage.serve()
    stage.start()
    end = lambda: stage.east.supervisor.stop()  # type: ignore[union-attr]  # noqa: E731
    point = Point(target=_ANSWER, about="masked", call=2, after=True, thread="silo east")
    with armed(point, end):
        stage.begin()
        stage.wait()


def _second_is_refused(stage: Stage) -> None:
    """A second supervisor is started as its command starts it."""
    stage.serve()
    with alone(stage.east.home):
        stage.start()
        stage.begin()
        try:
            with alone(stage.east.home):
                raise AssertionError("a second supervisor was let in")
        except WorkspaceRefused:
            stage.wait()


def _two_without_a_lock(stage: Stage) -> None:
    """Two supervisors over one home, the lock taken away: keys, record and ledger are one."""
    stage.serve()
    stage.start()
    second = replace(stage.east, supervisor=None, thread=None, failures=[])
    second.start()
    stage.begin()
    stage.wait()
    second.stop()


def _members_sign_another(stage: Stage) -> None:
    """A fifth hospital is admitted; east is started again, after it has fetched that roster."""
    service = stage.serve()
    stage.start()
    pause = lambda: service.steer(stage.run_id, "pause")  # noqa: E731
    with armed(Point(target="coordinator.rounds.training:Runner._forget"), pause):
        stage.begin()
        stage.until_finished(1)
    _admit(stage, replace(stage.east, name="spare", home=stage.folder / "spare"))
    stage.east.stop()
    stage.start("east")
    until(lambda: stage.east.roster_version == 2)
    service.steer(stage.run_id, "resume")
    stage.wait()


def _admit(stage: Stage, spare: Site) -> None:
    spare.home.mkdir()
    hospital = spare.open()
    with open_members(stage.home) as members:
        url = f"https://127.0.0.1:{stage.port}"  # not through east's line
        invitation = members.invite(spare.name, url)
    enrol(spare.home, hospital, invitation, root=Authority.open(stage.home).root_fingerprint)
    hospital.close()
    with open_members(stage.home) as members:
        proposed = members.rosters.propose()
        for name, site in stage.sites.items():
            opened = site.open()
            signature = sign_roster(proposed, SigningKey.from_bytes(opened.identity_key))
            opened.close()
            if members.rosters.sign(name, signature):
                break


STEERING = (
    Fault(what="paused and resumed", whom="a run", when="in mid-round", play=_paused_and_resumed),
    Fault(
        what="stopped",
        whom="a run",
        when="in mid-round",
        play=_stopped,
        ends=("stopped",),
        short=True,
    ),
    Fault(
        what="ended, started again",
        whom="the coordinator",
        when="in mid-round",
        play=_service_ended,
        same_update=False,
    ),
    Fault(
        what="kill switch, started again",
        whom="a hospital",
        when="round 2, a vector sent",
        play=_kill_switch,
        same_model=False,
    ),
    Fault(
        what="kill switch",
        whom="a hospital",
        when="round 2, a vector sent",
        play=_kill_switch_for_good,
        pace=HASTY,
        same_model=False,
        nothing_open=False,
    ),
    Fault(
        what="a second supervisor",
        whom="a hospital",
        when="started beside the first",
        play=_second_is_refused,
    ),
    Fault(
        what="two supervisors without a lock",
        whom="a hospital",
        when="always",
        play=_two_without_a_lock,
        pace=HASTY,
        same_model=False,
    ),
    Fault(
        what="another roster",
        whom="the consortium",
        when="between rounds 1 and 2, a hospital started again",
        play=_members_sign_another,
        same_model=False,
    ),
)
