"""Hospitals and coordinators killed as by a power cut, at every step, and started again."""

from collections.abc import Callable

from tests.long.chaos.faults.fault import Fault
from tests.long.chaos.points import Point
from tests.long.chaos.stage import DISTRIBUTED, HASTY, PER_SITE, Stage

_STEPS = ("advertise", "share", "masked", "consistency", "unmask")
_ANSWER = "silos.rounds.silo:Silo.answer"
_SENT = "compliance.ledger.ledger:Ledger.mark_sent"
_SEND_ANSWER = "silos.network.client:CoordinatorClient.answer"
_CLOSE = "protocol.secagg.server:SecAggServer.close"
#: Which time a step is taken: once in each round, and once in the evaluation.
_SECOND_ROUND, _EVALUATION = 2, 3


def _kill_and_restart(point: Point, chunk: int | None = None) -> Callable[[Stage], None]:
    def play(stage: Stage) -> None:
        stage.kill_east(point, chunk=chunk)
        stage.start("east")
        stage.wait()

    return play


def _kill_and_leave_dead(point: Point) -> Callable[[Stage], None]:
    def play(stage: Stage) -> None:
        stage.kill_east(point)
        stage.wait()

    return play


def _kill_coordinator(*points: Point) -> Callable[[Stage], None]:
    def play(stage: Stage) -> None:
        stage.kill_coordinator(*points)
        stage.serve()
        stage.wait()

    return play


def _kill_coordinator_and_restart_all(point: Point) -> Callable[[Stage], None]:
    def play(stage: Stage) -> None:
        stage.kill_coordinator(point)
        stage.restart_all()
        stage.serve()
        stage.wait()

    return play


def _hospital(when: str, point: Point, **others: object) -> Fault:
    chunk = others.pop("chunk", None)
    return Fault(
        what="killed, started again",
        whom="a hospital",
        when=when,
        play=_kill_and_restart(point, chunk),  # type: ignore[arg-type]
        same_model=False,
        **others,  # type: ignore[arg-type]
    )


def _coordinator(when: str, point: Point, **others: object) -> Fault:
    return Fault(
        what="killed, started again",
        whom="the coordinator",
        when=when,
        play=_kill_coordinator(point),
        **others,  # type: ignore[arg-type]
    )


def _at_each_step_of_a_hospital() -> list[Fault]:
    faults = []
    for step in _STEPS:
        asked = Point(target=_ANSWER, about=step, call=_SECOND_ROUND)
        done = Point(target=_ANSWER, about=step, call=_SECOND_ROUND, after=True)
        sent = Point(
            target=_ANSWER,
            about=step,
            call=_SECOND_ROUND,
            then=Point(target=_SEND_ANSWER, after=True),
        )
        faults += [
            _hospital(f"round 2, asked for {step}", asked),
            _hospital(f"round 2, {step} ready, not sent", done),
            _hospital(f"round 2, {step} sent", sent, short=step == "unmask"),
        ]
    return faults


_JOIN, _RESERVE = "silos.rounds.silo:Silo.join", "compliance.ledger.ledger:Ledger.reserve"
_RECORD = "silos.database.joined_runs:JoinedRuns.record"
_SETTLE = "silos.rounds.participation:Participation.settle"
_UPLOAD = "silos.network.client:CoordinatorClient._send_part"

HOSPITAL = (
    *_at_each_step_of_a_hospital(),
    _hospital("joining, nothing reserved", Point(target=_RESERVE)),
    _hospital("joining, training reserved", Point(target=_RESERVE, after=True)),
    _hospital("joining, all reserved", Point(target=_RESERVE, after=True, call=2)),
    _hospital("joining, joined, not recorded", Point(target=_JOIN, after=True)),
    _hospital("joining, recorded, not told", Point(target=_RECORD, after=True, about="joined")),
    _hospital(
        "asked for the first model", Point(target="silos.rounds.silo:Silo.initial_model", call=2)
    ),
    _hospital("round 2, masked, not booked", Point(target=_SENT, call=_SECOND_ROUND)),
    _hospital(
        "round 2, booked as SENT", Point(target=_SENT, call=_SECOND_ROUND, after=True), short=True
    ),
    _hospital(
        "round 2, vector half uploaded",
        Point(
            target=_SENT,
            call=_SECOND_ROUND,
            then=Point(target=_UPLOAD, after=True),
        ),
        chunk=16,
    ),
    _hospital("evaluation, asked", Point(target=_ANSWER, about="masked", call=_EVALUATION)),
    _hospital("evaluation, masked, not booked", Point(target=_SENT, call=_EVALUATION)),
    _hospital("evaluation, booked as SENT", Point(target=_SENT, call=_EVALUATION, after=True)),
    _hospital(
        "evaluation, unmask ready, not sent",
        Point(target=_ANSWER, about="unmask", call=_EVALUATION, after=True),
    ),
    _hospital("leaving, nothing settled", Point(target=_SETTLE)),
    _hospital(
        "leaving, training settled",
        Point(target="compliance.ledger.ledger:Ledger.settle", after=True),
    ),
    _hospital("leaving, settled, not recorded", Point(target=_SETTLE, after=True)),
    _hospital("leaving, recorded, not told", Point(target=_RECORD, after=True, about="left")),
    _hospital(
        "round 2 under shared noise, booked as SENT",
        Point(target=_SENT, call=_SECOND_ROUND, after=True),
        study=DISTRIBUTED,
    ),
    Fault(
        what="killed, stays away",
        whom="a hospital",
        when="round 2, booked as SENT",
        play=_kill_and_leave_dead(Point(target=_SENT, call=_SECOND_ROUND, after=True)),
        pace=HASTY,
        nothing_open=False,
    ),
)


def _at_each_step_of_the_coordinator() -> list[Fault]:
    faults = []
    for step in _STEPS:
        before = Point(target=_CLOSE, about=step, call=_SECOND_ROUND)
        after = Point(target=_CLOSE, about=step, call=_SECOND_ROUND, after=True)
        masked = step in ("masked", "consistency", "unmask")
        faults += [
            _coordinator(
                f"round 2, before {step} is closed",
                before,
                same_update=masked,
                short=step == "masked",
            ),
            _coordinator(f"round 2, {step} closed", after, same_update=masked),
        ]
    return faults


_BOOK, _STATES = (
    "coordinator.rounds.round_records:RoundRecords",
    "coordinator.database.server_state:ServerStates",
)
_RUN, _RECORD_OF_RUN = (
    "coordinator.runs.network_run:NetworkRun",
    "coordinator.rounds.run_records:RunRecord",
)
_FIRST_MODEL = "coordinator.runs.join_phase:JoinPhase.first_model"
_KEEP_SNAPSHOT = "coordinator.database.workspace:Workspace.keep_snapshot"
_FORGET = "coordinator.rounds.training:Runner._forget"

COORDINATOR = (
    _coordinator("run recorded, nobody asked", Point(target=f"{_RECORD_OF_RUN}.begin", after=True)),
    _coordinator("one hospital has joined", Point(target=f"{_RECORD_OF_RUN}.keep", after=True)),
    _coordinator("first model fetched", Point(target=_FIRST_MODEL, after=True)),
    _coordinator("round 1 opened", Point(target=f"{_BOOK}.open", after=True)),
    *_at_each_step_of_the_coordinator(),
    _coordinator(
        "round 2, summed, state not kept", Point(target=f"{_STATES}.keep", call=2), same_update=True
    ),
    _coordinator(
        "round 2, state kept, not committed",
        Point(target=f"{_STATES}.keep", after=True, call=2),
        same_update=True,
    ),
    _coordinator(
        "round 2, inside the transaction",
        Point(target=f"{_BOOK}.close", after=True, call=2),
        same_update=True,
    ),
    _coordinator("round 2 committed", Point(target=_FORGET, call=2)),
    _coordinator("evaluation opened", Point(target=f"{_BOOK}.open", after=True, call=3)),
    _coordinator(
        "evaluation, before masked is closed", Point(target=_CLOSE, about="masked", call=3)
    ),
    _coordinator("evaluation, unmasked", Point(target=_CLOSE, about="unmask", call=3, after=True)),
    _coordinator(
        "evaluation, inside the transaction", Point(target=f"{_BOOK}.close", after=True, call=3)
    ),
    _coordinator("evaluation committed", Point(target=_FORGET, call=3)),
    _coordinator("model not written yet", Point(target=_KEEP_SNAPSHOT)),
    _coordinator("model written, not recorded", Point(target=_KEEP_SNAPSHOT, after=True)),
    _coordinator(
        "model recorded", Point(target="coordinator.rounds.training:Runner._keep", after=True)
    ),
    _coordinator("before hospitals settle", Point(target=f"{_RUN}._settle")),
    _coordinator(
        "hospitals have settled, not recorded",
        Point(target=f"{_RECORD_OF_RUN}.keep", about="settlements"),
    ),
    _coordinator("settlements recorded", Point(target=f"{_RUN}._settle", after=True)),
    _coordinator("end recorded", Point(target=f"{_RECORD_OF_RUN}.finish", after=True)),
    *(
        Fault(
            what="killed three times, started again",
            whom="the coordinator",
            when=f"round 2{noise}, masked closed",
            play=_kill_coordinator(
                Point(target=_CLOSE, about="masked", call=_SECOND_ROUND, after=True),
                Point(target=_CLOSE, about="masked", after=True),
                Point(target=_CLOSE, about="masked", after=True),
            ),
            study=study,
            same_update=study is PER_SITE,
        )
        for noise, study in (("", PER_SITE), (" under shared noise", DISTRIBUTED))
    ),
    _coordinator(
        "round 2 under shared noise, masked closed",
        Point(target=_CLOSE, about="masked", call=_SECOND_ROUND, after=True),
        study=DISTRIBUTED,
    ),
    Fault(
        what="killed, all hospitals too",
        whom="the coordinator",
        when="between rounds 1 and 2",
        play=_kill_coordinator_and_restart_all(Point(target=_FORGET)),
    ),
    Fault(
        what="killed, all hospitals too",
        whom="the coordinator",
        when="round 2, before masked",
        play=_kill_coordinator_and_restart_all(
            Point(target=_CLOSE, about="share", call=_SECOND_ROUND, after=True)
        ),
    ),
    Fault(
        what="killed, all hospitals too",
        whom="the coordinator",
        when="round 2, masked closed",
        play=_kill_coordinator_and_restart_all(
            Point(target=_CLOSE, about="masked", call=_SECOND_ROUND, after=True)
        ),
    ),
)
