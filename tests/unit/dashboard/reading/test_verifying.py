"""Verification beside the pages: one at a time, with how far it is; kept with the log's size."""

import json
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from compliance.facts.dossier import LogVerification
from coordinator.views.opened.version import KeptVerification
from coordinator.views.views import open_views
from dashboard.reading.cached import CachedViews
from dashboard.reading.verifying import BackgroundVerification, VerificationState
from dashboard.reading.whole_verification import verify
from tests.support.machine.patience import PATIENCE
from tests.support.simulated.begun_run import begin_run
from tests.support.simulated.output_folder import change


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
    assert told[-1]["size"] == 0 and len(told[-1]["key"]) == 64 and told[-1]["root"] == ""
    assert any("no signed head" in fault for fault in told[-1]["faults"])


def found_of(folder: Path, size: int, root: str, *faults: str) -> KeptVerification | None:
    """What is told of a folder after a verification beside the pages found faults in a log."""
    background = BackgroundVerification(folder)
    background._take({"size": size, "root": root, "key": "ab", "faults": faults})
    views = CachedViews(lambda: open_views(folder), background)
    with closing(views):
        return views.verified()


def test_verifying_a_short_log_now_says_what_is_there_now(folder: Path) -> None:
    background = BackgroundVerification(folder)
    with closing(CachedViews(lambda: open_views(folder), background)) as views:
        before = views.verified()
        assert before is not None and before.result.faults == ()
        change(folder, "UPDATE run SET seed = 9 WHERE id = 'run-2'")
        views.verify()
        found = ended(background).kept
        assert found is not None and found.result.faults
        assert views.verified() == found


def test_a_verification_of_another_log_is_told_of_none(folder: Path) -> None:
    with closing(open_views(folder)) as views:
        now = views.version()
    assert found_of(folder, now.size, now.root, "x") == KeptVerification(
        size=now.size, root=now.root, result=LogVerification(key="ab", faults=("x",))
    )
    for size, root in ((now.size, "other"), (now.size + 5, now.root), (2, "other"), (2, "")):
        found = found_of(folder, size, root, "x")
        assert found is not None and found.result.faults == ()  # a short log: verified anew


def test_what_was_verified_of_a_long_log_is_told_until_that_part_is_another(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dashboard.reading.cached._AT_ONCE", 1)
    with closing(open_views(folder)) as views:
        now = views.version()
        size, part = next((n, root) for n in range(1, now.size) if (root := views.root_at(n)))
    found = found_of(folder, size, part)
    assert found is not None and found.size == size
    for other, root in ((size, now.root), (now.size, part), (now.size + 1, now.root)):
        assert found_of(folder, other, root) is None
