"""Lines that are cut, delayed, throttled and shut; messages that come twice or in another order."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from tests.long.chaos.faults.fault import Fault
from tests.long.chaos.faults.trainers import WideTrainer
from tests.long.chaos.points import Point, armed, replaced
from tests.long.chaos.stage import HASTY, Stage
from tests.support.networked.network import until
from tests.support.networked.proxy import Proxy

_MEGABIT = 1_000_000 // 8
_ANSWER = "silos.rounds.silo:Silo.answer"


def _over(disturb: Callable[[Stage, Proxy], None], *only: str) -> Callable[[Stage], None]:
    """Leads hospitals over a proxy that misbehaves; all of them when none is named."""

    def play(stage: Stage) -> None:
        stage.serve()
        line = stage.lead_over_proxy(*only)
        disturb(stage, line)
        stage.start()
        stage.begin()
        stage.wait()

    return play


def _cut_five_times(_stage: Stage, line: Proxy) -> None:
    for _ in range(5):
        line.cut_after(sent=60_000)


def _cut_downloads(_stage: Stage, line: Proxy) -> None:
    for _ in range(5):
        line.cut_after(received=60_000)


def _at(point: Point, act: Callable[[Proxy], None]) -> Callable[[Stage, Proxy], None]:
    def disturb(stage: Stage, line: Proxy) -> None:
        stage.until_closed(armed(point, lambda: act(line)))

    return disturb


def _shut_for(seconds: float) -> Callable[[Proxy], None]:
    def act(line: Proxy) -> None:
        line.close_door()
        threading.Timer(seconds, line.open_door).start()

    return act


def _freeze_for(seconds: float) -> Callable[[Proxy], None]:
    def act(line: Proxy) -> None:
        line.freeze()
        threading.Timer(seconds, line.thaw).start()

    return act


def _replay(stage: Stage) -> None:
    stage.serve()
    line = stage.lead_over_proxy()
    stage.start()
    stage.begin()
    stage.until_finished(1)
    for connection in range(min(3, line.log.connections)):
        line.again(connection)
    stage.wait()


def _changed(target: str, change: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Any:
    """Plays a run in which one method does something else."""

    def play(stage: Stage) -> None:
        with ExitStack() as ends:
            ends.enter_context(replaced(target, change))
            stage.serve()
            stage.start()
            stage.begin()
            stage.wait()
            stage.close()

    return play


def _twice(original: Callable[..., Any]) -> Callable[..., Any]:
    def done_twice(*args: Any) -> Any:
        first = original(*args)
        original(*args)
        return first

    return done_twice


def _returned_twice(original: Callable[..., Any]) -> Callable[..., Any]:
    """Every delivery is handed over a second time, after it was answered."""
    before: dict[int, Any] = {}

    def fetched(wire: Any, after: int, wait: int) -> Any:
        if id(wire) in before:
            return before.pop(id(wire))
        found = original(wire, after, wait)
        if found is not None:
            before[id(wire)] = found
        return found

    return fetched


def _newest_first(_original: Callable[..., Any]) -> Callable[..., Any]:
    def newest(mailbox: Any, site: str, after: int) -> Any:
        with mailbox._changed:
            waiting = [
                number
                for number, found in mailbox._waiting.items()
                if found.site == site and number not in mailbox._answers
            ]
            return mailbox._waiting[max(waiting)].delivery if waiting else None

    return newest


def _late_by_turns(original: Callable[..., Any]) -> Callable[..., Any]:
    """Answers arrive in an order that changes from step to step."""
    turns = iter(range(10**6))

    def later(*args: Any) -> Any:
        time.sleep(0.05 * (next(turns) * 7 % 5))
        return original(*args)

    return later


def _straggler(stage: Stage) -> None:
    """East's vector of round 1 comes when the round is over; east is in round 2."""
    service = stage.serve()
    late = Point(target=_ANSWER, about="masked", after=True, thread="silo east")
    pause = lambda: service.steer(stage.run_id, "pause")  # noqa: E731
    with (
        armed(late, lambda: stage.until_finished(1)),
        armed(Point(target="coordinator.rounds.training:Runner._forget"), pause),
    ):
        stage.start()
        stage.begin()
        stage.until_finished(1)
        until(lambda: "east" not in service.status()["runs"][0]["silent"])
    service.steer(stage.run_id, "resume")
    stage.wait()
    first, second = (set(stage.survivors(number)) for number in (0, 1))
    assert "east" not in first and "east" in second, (first, second)


def _late_joiner(stage: Stage) -> None:
    """East comes when round 1 is over; it is in round 2."""
    service = stage.serve()
    stage.start_but_east()
    pause = lambda: service.steer(stage.run_id, "pause")  # noqa: E731
    with armed(Point(target="coordinator.rounds.training:Runner._forget"), pause):
        stage.begin()
        stage.until_finished(1)
    stage.start("east")
    until(lambda: "east" in service.status()["runs"][0]["joined"])
    service.steer(stage.run_id, "resume")
    stage.wait()
    first, second = (set(stage.survivors(number)) for number in (0, 1))
    assert "east" not in first and "east" in second, (first, second)


def _line(what: str, when: str, play: Callable[[Stage], None], **others: Any) -> Fault:
    whom = others.pop("whom", "every line")
    return Fault(what=what, whom=whom, when=when, play=play, **others)


LINES = (
    _line("cut", "uploads, five times", _over(_cut_five_times), trainer=WideTrainer),
    _line("cut", "downloads, five times", _over(_cut_downloads), trainer=WideTrainer),
    *(
        _line(
            "cut",
            f"round 2, {step} ready, not sent",
            _over(
                _at(Point(target=_ANSWER, about=step, call=5, after=True), lambda line: line.cut())
            ),
        )
        for step in ("advertise", "share", "masked", "consistency", "unmask")
    ),
    _line("delayed by 0.1 s", "always", _over(lambda _, line: line.delay(0.1))),
    _line(
        "throttled to 1 Mbit/s",
        "always",
        _over(lambda _, line: line.throttle(_MEGABIT)),
        trainer=WideTrainer,
    ),
    _line(
        "shut for 3 s",
        "round 2, a vector ready",
        _over(_at(Point(target=_ANSWER, about="masked", call=5, after=True), _shut_for(3.0))),
    ),
    _line(
        "shut for good",
        "round 2, a vector ready",
        _over(
            _at(
                Point(target=_ANSWER, about="masked", call=2, after=True, thread="silo east"),
                lambda line: line.close_door(),
            ),
            "east",
        ),
        whom="one hospital's line",
        pace=HASTY,
        nothing_open=False,
    ),
    _line(
        "silent for 10 s",
        "round 2, a vector ready",
        _over(
            _at(
                Point(target=_ANSWER, about="masked", call=2, after=True, thread="silo east"),
                _freeze_for(10.0),
            ),
            "east",
        ),
        whom="one hospital's line",
        pace=HASTY,
    ),
    _line("bytes sent again", "after round 1", _replay),
    _line(
        "sent twice",
        "always",
        _changed("silos.network.client:CoordinatorClient.answer", _twice),
        whom="every answer",
    ),
    _line(
        "handed over twice",
        "always",
        _changed("silos.network.client:CoordinatorClient.next", _returned_twice),
        whom="every delivery",
    ),
    _line(
        "newest first",
        "always",
        _changed("coordinator.delivery.deliveries:Mailbox.next", _newest_first),
        whom="every delivery",
    ),
    _line(
        "reordered",
        "always",
        _changed("silos.network.client:CoordinatorClient.answer", _late_by_turns),
        whom="every answer",
    ),
    _line(
        "late",
        "round 1, vector after the deadline",
        _straggler,
        whom="a hospital",
        pace=HASTY,
    ),
    _line("joins late", "in round 2", _late_joiner, whom="a hospital"),
)
