"""A look raises, sends and closes; the service's thread does so by itself."""

import json
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from coordinator.alerts import watch as module
from coordinator.alerts.deliveries import Delivered
from coordinator.alerts.watch import AlertWatch, Look
from coordinator.alerts.webhook import MESSAGE_FIELDS
from coordinator.views.alerts import Alert
from coordinator.views.views import open_views
from protocol.errors import StoreBroken, WorkspaceRefused
from tests.support.machine.patience import PATIENCE
from tests.support.networked.network import until
from tests.support.networked.webhook_receiver import Receiver, receiving
from tests.support.simulated.output_folder import RUNS, change

#: A figure that stands nowhere but where it is planted.
MARK = 0.7391846205
SITES = ("east", "north", "south", "west")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture(autouse=True)
def no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_REST_SECONDS", 0.0)


def alerts(folder: Path, *, closed: bool = False) -> tuple[Alert, ...]:
    with closing(open_views(folder)) as views:
        return views.alerts(closed=closed)


LOW = "name: low, kind: budget, share: 0.001"


def test_a_look_raises_sends_and_closes(folder: Path, receiver: Receiver) -> None:
    receiver.rules(folder, LOW)
    with closing(AlertWatch(folder)) as watch:
        first = watch.look()
        assert len(first.raised) == len(receiver.got) == first.delivered.sent > 1
        assert watch.look().raised == ()
        receiver.rules(folder, "name: low, kind: budget, share: 1.0")  # read again at each look
        assert watch.look().closed == first.raised
    assert alerts(folder) == ()
    assert all(got.is_genuine() for got in receiver.got)
    with closing(open_views(folder)) as views:
        assert views.verification().faults == ()


def plant(folder: Path) -> None:
    """Puts marked figures wherever the folder has one that was not released."""
    own = {"auroc": MARK, "accuracy": MARK, "train_patients": 739184, "test_patients": 739184}
    exact = json.dumps({"auroc": MARK, "brier": MARK, "sites": dict.fromkeys(SITES, own)})
    change(folder, f"UPDATE run SET exact_json = '{exact}'")  # noqa: S608
    pooled = json.dumps({"auroc": MARK})
    change(folder, f"UPDATE reference SET figures_json = '{pooled}'")  # noqa: S608


def trouble(folder: Path) -> None:
    """Releases figures of which every rule makes something, and rounds that went wrong."""
    plain = {"value": 0.5, "low": 0.45, "high": 0.55, "note": ""}
    high = {"value": 0.9, "low": 0.85, "high": 0.95, "note": ""}
    lacking = {"value": 0.2, "low": 0.15, "high": 0.25, "note": ""}
    names = ("ill", "mean_risk", "sensitivity", "excess_brier")
    risks = dict.fromkeys(names, plain) | {"lacking": lacking, "shift": 0.5}
    for run, east in zip(RUNS, (plain, high), strict=True):
        sites = {site: {"accuracy": east if site == "east" else plain} for site in SITES}
        payload = json.dumps({"figures": {"auroc": plain}, "risks": risks, "sites": sites})
        change(
            folder,
            f"UPDATE release SET payload_json = '{payload}' "  # noqa: S608
            f"WHERE kind = 'evaluation' AND run_id = '{run}'",
        )
    change(
        folder,
        """UPDATE round SET survivors_json = '["north", "south"]', """
        """dropped_json = '["east", "west"]'"""
        " WHERE round_kind = 'evaluation'",
        "UPDATE round SET state = 'failed', conduct_json = '{\"suspects\": [\"east\"]}' "
        "WHERE round_kind = 'training' AND number = 0",
    )


def test_no_message_and_no_record_holds_an_exact_figure_or_a_signed_share(
    folder: Path, receiver: Receiver
) -> None:
    with closing(open_views(folder)) as views:
        shares = [site.privacy.budget_share for site in views.dossier(RUNS[-1]).sites]
    plant(folder)
    trouble(folder)
    receiver.rules(
        folder,
        LOW,
        "name: risks, kind: calibration, part: 0.1",
        "name: gap, kind: fairness_gap, above: 0",
        "name: grown, kind: fairness_gap_grown",
        "name: sum, kind: aggregate",
        "name: out, kind: absent, rounds: 1",
        "name: records, kind: verification",
    )
    with closing(AlertWatch(folder)) as watch:
        look = watch.look()
    found = alerts(folder)
    assert {alert.cause["kind"] for alert in found} == {
        "budget", "calibration", "fairness_gap", "fairness_gap_grown", "aggregate", "absent",
        "verification",
    }  # fmt: skip
    assert len(receiver.got) == len(look.raised) == len(found)
    marks = ["739184", *(str(share)[:8] for share in shares)]
    assert len(marks) == 5 and all(len(mark) >= 6 for mark in marks)
    told = [got.body.decode() for got in receiver.got]
    told += [json.dumps(alert.to_json()) for alert in found]
    assert not [said for said in told if any(mark in said for mark in marks)]
    assert all(set(got.data) == set(MESSAGE_FIELDS) for got in receiver.got)


def test_a_message_that_did_not_arrive_is_shown_and_sent_when_a_person_looks(
    folder: Path, receiver: Receiver
) -> None:
    receiver.rules(folder, LOW)
    receiver.status = 500
    with closing(AlertWatch(folder)) as watch:
        assert watch.look().delivered.failed == 1
        assert any(alert.unsent for alert in alerts(folder))
        receiver.status = 204
        assert watch.look().delivered.sent == len(alerts(folder)) - 1  # the first one rests
        assert watch.look(by_hand=True).delivered.sent == 1
    assert not any(alert.unsent for alert in alerts(folder))


def test_records_are_verified_once_in_so_many_hours_or_when_a_person_looks(
    folder: Path, receiver: Receiver
) -> None:
    receiver.rules(folder, "name: records, kind: verification, hours: 24")
    with closing(AlertWatch(folder)) as watch:
        assert watch.look().unknown == ()
        change(folder, "UPDATE run SET seed = 5 WHERE id = 'run-1'")
        assert watch.look().unknown == ("records",)
        assert len(watch.look(by_hand=True).raised) == 1
        assert watch.look().closed == ()


def test_rules_that_are_refused_end_the_look_and_change_nothing(folder: Path) -> None:
    with closing(AlertWatch(folder)) as watch:
        (folder / "alert-rules.yaml").write_text("collegium_alerts: 1\nrules: no\n")
        with pytest.raises(WorkspaceRefused, match=r"alert-rules\.yaml:2: rules: "):
            watch.look()
    with pytest.raises(WorkspaceRefused, match=r"alert-rules\.yaml:2: rules: "):
        AlertWatch(folder)


def test_the_thread_looks_when_it_begins_and_when_it_is_woken(
    folder: Path, receiver: Receiver
) -> None:
    receiver.rules(folder, LOW)
    with closing(AlertWatch(folder)) as watch:
        with watch.at_work():
            until(lambda: bool(receiver.got) and bool(alerts(folder)))
            receiver.rules(folder, "name: low, kind: budget, share: 1.0")
            watch.wake()
            until(lambda: alerts(folder) == ())
    assert not [t for t in threading.enumerate() if t.name == "alerts"]


def test_the_thread_goes_on_after_a_look_that_failed(
    folder: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    receiver.rules(folder, LOW)
    found = threading.Event()
    failures = iter([StoreBroken("the disk is full"), RuntimeError("x"), None])

    def looks(_: AlertWatch) -> Look:
        error = next(failures, None)
        if error is None:
            found.set()
            return Look(raised=(4,), closed=(3,), unknown=(), delivered=Delivered())
        raise error

    monkeypatch.setattr(AlertWatch, "look", looks)
    with closing(AlertWatch(folder)) as watch, watch.at_work():
        for _ in range(int(PATIENCE / 0.02)):
            watch.wake()
            if found.wait(0.02):
                break
        assert found.is_set()
    assert "this look failed: the disk is full" in caplog.text
    assert "alert 4 was raised: collegium alerts show 4" in caplog.text
