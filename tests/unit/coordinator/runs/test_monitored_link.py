"""A link whose steps are followed: silent hospitals are noted, unless the run was stopped."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from coordinator.runs.monitoring.attendance import Attendance
from coordinator.runs.monitoring.monitored_link import MonitoredLink
from coordinator.runs.monitoring.progress import read_progress
from coordinator.runs.monitoring.run_monitor import RunMonitor
from coordinator.runs.participants import RunParticipants
from coordinator.runs.run_control import Halted, RunControl
from protocol.transport.steps import Reply, Request
from tests.support.simulated.studies import small_study
from tests.unit.coordinator.runs.test_participants import WORD
from tests.unit.protocol.transport.test_privacy_summary import SUMMARY

STUDY = small_study()
REQUESTS = {site: Request(run_id="run-1", step="masked", message=b"") for site in STUDY.site_names}


class Link:
    """Brings the replies of some sites, and then does something."""

    def __init__(self, *sites: str, then: Callable[[], None] = lambda: None) -> None:
        self._sites, self._then = sites, then

    def exchange(
        self, requests: Mapping[str, Request], timeout: float
    ) -> Iterator[tuple[str, Reply]]:
        yield from ((site, Reply(message=b"")) for site in self._sites)
        self._then()


@pytest.fixture
def control(tmp_path: Path) -> RunControl:
    return RunControl(tmp_path / "run-1.paused")


@pytest.fixture
def monitor(tmp_path: Path, control: RunControl) -> RunMonitor:
    """Follows a run that all hospitals have joined, and that all were heard from in just before."""
    participants = RunParticipants()
    for site in STUDY.site_names:
        participants.add(site, WORD, SUMMARY, "model")
    return RunMonitor(
        "run-1",
        STUDY,
        participants=participants,
        attendance=Attendance(lambda: dict.fromkeys(STUDY.site_names, 999.0), lambda: 1000.0),
        is_paused=lambda: control.is_paused,
        folder=tmp_path,
    )


def answered(link: Link, monitor: RunMonitor, control: RunControl) -> list[str]:
    watched = MonitoredLink(link, monitor, control.require_going)
    return [site for site, _ in watched.exchange(REQUESTS, 600.0)]


def test_a_hospital_that_did_not_answer_is_not_asked_again(
    monitor: RunMonitor, control: RunControl
) -> None:
    east, *others = STUDY.site_names
    assert answered(Link(*others), monitor, control) == others
    assert monitor.silent == {east: 999.0}
    assert monitor.absent()[east].startswith("not heard from since ")
    assert monitor.has_enough == (len(others) >= monitor.least)


def test_a_step_that_was_stopped_blames_nobody(monitor: RunMonitor, control: RunControl) -> None:
    with pytest.raises(Halted):
        answered(Link("east", then=control.stop), monitor, control)
    assert monitor.silent == {} and monitor.step.now is None


def test_progress_says_where_the_run_is_and_for_what_it_waits(
    monitor: RunMonitor, control: RunControl, tmp_path: Path
) -> None:
    assert monitor.progress.state == "running"
    monitor.blocked_reason = "waits for east: not heard from"
    assert (monitor.progress.state, monitor.progress.waits_for) == (
        "waiting",
        "waits for east: not heard from",
    )
    control.hold()
    assert monitor.progress.state == "paused"
    monitor.round_finished("training", 0)
    told = read_progress(tmp_path, "run-1")
    assert told is not None and (told.round, told.state) == (2, "paused")
    monitor.forget()
    assert read_progress(tmp_path, "run-1") is None
