"""Verification beside the pages: one at a time, with how far it is; kept with the log's size."""

import json
import sys
import time
from pathlib import Path

import pytest

from dashboard.reading.cached import CachedViews
from dashboard.reading.verifying import BackgroundVerification, VerificationState
from dashboard.reading.whole_verification import verify
from tests.support.machine.patience import PATIENCE
from tests.support.simulated.begun_run import begin_run


def ended(background: BackgroundVerification) -> VerificationState:
    until = time.monotonic() + PATIENCE
    while background.state.running and time.monotonic() < until:
        time.sleep(0.01)
    return background.state


def saying(monkeypatch: pytest.MonkeyPatch, *lines: str) -> BackgroundVerification:
    background = BackgroundVerification(Path("nowhere"))
    script = f"print({chr(10).join(lines)!r})" if lines else ""
    monkeypatch.setattr(background, "_command", [sys.executable, "-S", "-c", script])
    return background


def test_what_was_found_is_kept_with_the_logs_size(monkeypatch: pytest.MonkeyPatch) -> None:
    background = saying(
        monkeypatch,
        json.dumps({"part": "runs", "done": 1, "total": 2}),
        json.dumps({"size": 7, "key": "ab", "faults": ["entry 3 was changed"]}),
    )
    assert background.state == VerificationState()
    background.start()
    state = ended(background)
    assert state.kept is not None and not state.refused
    assert (state.kept.size, state.kept.result.faults) == (7, ("entry 3 was changed",))
    views = CachedViews(lambda: pytest.fail("nothing is read"), background)
    assert views.verification_state() is state


@pytest.mark.parametrize(
    ("lines", "why"),
    [((json.dumps({"refused": "away"}),), "away"), ((), "its process was ended")],
)
def test_an_attempt_that_came_to_nothing_says_why(
    monkeypatch: pytest.MonkeyPatch, lines: tuple[str, ...], why: str
) -> None:
    background = saying(monkeypatch, *lines)
    background.start()
    state = ended(background)
    assert (state.refused, state.kept, state.running) == (why, None, False)


def test_a_second_start_begins_nothing_and_one_can_be_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    background = BackgroundVerification(Path("nowhere"))
    command = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(background, "_command", command)
    background.start()
    first = background._process
    background.start()
    assert background._process is first and background.state.running
    background.stop()
    assert ended(background).refused == "its process was ended"


def test_the_process_says_how_far_it_is_and_what_it_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verify(begin_run(tmp_path / "out"))
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["part"] for one in told[:-1]] == ["log", "rows", "cosignatures", "runs"]
    assert told[-1]["size"] == 0 and len(told[-1]["key"]) == 64
    assert any("no signed head" in fault for fault in told[-1]["faults"])
