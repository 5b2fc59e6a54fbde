"""A run is paused, resumed, stopped and suspended from outside its thread."""

import threading
import time
from pathlib import Path

import pytest

from coordinator.runs.run_control import Halted, RunControl


def test_a_pause_outlasts_the_service_until_it_is_resumed(tmp_path: Path) -> None:
    file = tmp_path / "states" / "run-1.paused"
    RunControl(file).pause()
    again = RunControl(file)
    assert again.is_paused and not again.stopped.is_set()
    again.resume()
    assert not RunControl(file).is_paused


def test_a_hold_is_forgotten_by_a_service_that_is_restarted(tmp_path: Path) -> None:
    control = RunControl(tmp_path / "run-1.paused")
    control.hold()
    assert control.is_paused and not RunControl(tmp_path / "run-1.paused").is_paused


def test_a_run_that_is_stopped_while_paused_ends_its_wait(tmp_path: Path) -> None:
    control = RunControl(tmp_path / "run-1.paused")
    control.pause()
    threading.Timer(0.05, control.stop).start()
    with pytest.raises(Halted, match="stopped by the consortium"):
        control.wait_while_paused()
    with pytest.raises(Halted):
        control.require_going()
    assert not control.is_suspended


def test_a_run_that_is_suspended_ends_its_sleep_and_stays_paused_for_the_next_service(
    tmp_path: Path,
) -> None:
    control, began = RunControl(tmp_path / "run-1.paused"), time.monotonic()
    control.pause()
    threading.Timer(0.05, control.suspend).start()
    with pytest.raises(Halted):
        control.sleep(60.0)
    assert time.monotonic() - began < 30
    assert control.is_suspended and RunControl(tmp_path / "run-1.paused").is_paused
