"""``collegium alerts``: look, list, show and acknowledge, in words and as JSON, with exit codes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collegium.cli.monitoring.alerts import UNACKNOWLEDGED
from coordinator.alerts.default_rules import DEFAULT_RULES
from coordinator.alerts.rules import read_rules
from tests.support.hospital.consortium_home import ConsortiumHome
from tests.support.machine.commands import Done, ask
from tests.support.networked.webhook_receiver import Receiver, receiving


def as_json(done: Done) -> Any:
    return json.loads(done.stdout)


@pytest.fixture
def low(folder: Path) -> Path:
    """A folder whose rules raise an alert about every hospital's budget."""
    (folder / "alert-rules.yaml").write_text(
        "collegium_alerts: 1\nrules:\n  - {name: low, kind: budget, share: 0.001}\n"
    )
    return folder


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def test_an_alert_from_its_raising_to_its_end(low: Path) -> None:
    done = ask("alerts", "check", "--out", low)
    assert done.returncode == UNACKNOWLEDGED
    assert "east signed that at least 0.1 %" in done.stdout
    assert "raised     4 alerts, closed 0" in done.stderr
    found = as_json(ask("alerts", "list", "--out", low, "--json"))
    assert [alert["state"] for alert in found] == ["open"] * 4
    by = ("--by", "Dr. A. Lead", "--note", "asked them")
    for alert in found:
        done = ask("alerts", "acknowledge", alert["number"], "--out", low, *by, "--json")
        assert as_json(done)["acknowledged_by"] == "Dr. A. Lead"
    done = ask("alerts", "list", "--out", low)
    assert done.returncode == 0 and "taken note of by Dr. A. Lead" in done.stdout
    done = ask("alerts", "show", found[0]["number"], "--out", low)
    assert done.returncode == 0
    assert all(word in done.stdout for word in ("asked them", "rule       low (budget)", "run-2"))
    shown = ask("runs", "show", "run-2", "--out", low).stdout
    assert "(acknowledged): east signed that at least 0.1 %" in shown
    told = as_json(ask("runs", "show", "run-2", "--out", low, "--json"))["alerts"]
    assert [alert["acknowledged_by"] for alert in told] == ["Dr. A. Lead"] * 4
    assert as_json(ask("runs", "show", "run-1", "--out", low, "--json"))["alerts"] == []
    other = "collegium_alerts: 1\nrules:\n  - {name: spent, kind: budget, share: 0.99}\n"
    (low / "alert-rules.yaml").write_text(other)  # the rule is gone, and nothing breaks this one
    assert as_json(ask("alerts", "check", "--out", low, "--json"))["closed"] == [1, 2, 3, 4]
    assert "no alert is open" in ask("alerts", "list", "--out", low).stdout
    states = [a["state"] for a in as_json(ask("alerts", "list", "--all", "--out", low, "--json"))]
    assert states == ["closed"] * 4
    assert ask("audit", "verify", "--out", low).returncode == 0


def test_an_alert_changes_no_report_of_the_run_that_it_is_about(low: Path) -> None:
    report = low.parent / "report.html"
    assert ask("report", "export", "run-2", "--to", report, "--out", low).returncode == 0
    ask("alerts", "check", "--out", low)
    ask("alerts", "acknowledge", "1", "--by", "Dr. A. Lead", "--out", low)
    done = ask("audit", "verify", "--out", low, "--report", report)
    assert done.returncode == 0, done.stdout


def test_a_message_that_was_not_delivered_is_listed(low: Path, receiver: Receiver) -> None:
    receiver.rules(low, "name: low, kind: budget, share: 0.001")
    receiver.status = 500
    done = ask("alerts", "check", "--out", low)
    assert "delivered  0 messages; 1 receiver failed" in done.stderr
    assert "not delivered to on-call: the receiver did not take it (HTTP 500)" in done.stdout
    number = as_json(ask("alerts", "list", "--out", low, "--json"))[-1]["number"]
    done = ask("alerts", "show", number, "--out", low)
    assert "raised to on-call, waiting after 1 attempt: the receiver did not" in done.stdout
    assert "threshold  0.001\n" in done.stdout
    receiver.status = 204
    assert as_json(ask("alerts", "check", "--out", low, "--json"))["delivered"] == 4


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("acknowledge", "1", "--by", " "), 2, "--by names the person"),
        (("acknowledge", "1"), 2, "--by"),
        (("acknowledge", "77", "--by", "Dr. A. Lead"), 2, "there is no alert 77"),
        (("show", "77"), 2, "there is no alert 77"),
        (("list", "--loud"), 2, "--loud"),
    ],
)
def test_what_cannot_be_done_is_refused(
    low: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    ask("alerts", "check", "--out", low)
    done = ask("alerts", *words, "--out", low)
    assert done.returncode == code and said in done.stderr


def test_a_bad_file_of_rules_is_refused_with_line_and_column(folder: Path) -> None:
    (folder / "alert-rules.yaml").write_text("collegium_alerts: 1\nrules:\n\t- x\n")
    for words in (("alerts", "check"), ("alerts", "rules"), ("coordinator", "start")):
        done = ask(*words, "--home", folder)
        assert done.returncode == 2 and "alert-rules.yaml:3:1: a tab stands here" in done.stderr


def test_the_rules_by_default_are_shown_and_a_new_coordinator_has_them(tmp_path: Path) -> None:
    shown = ask("alerts", "rules").stdout
    assert read_rules(shown) == read_rules(DEFAULT_RULES)
    home = tmp_path / "home"
    assert ask("coordinator", "init", "--home", home, "--host", "localhost").returncode == 0
    assert (home / "alert-rules.yaml").read_text() == DEFAULT_RULES
    assert ask("alerts", "check", "--home", home).returncode == 0
    assert ask("audit", "verify", "--out", home).returncode == 0


def test_the_address_of_a_webhook_is_not_in_the_json(low: Path, receiver: Receiver) -> None:
    receiver.rules(low, "name: low, kind: budget, share: 0.001")
    found = as_json(ask("alerts", "rules", "--out", low, "--json"))
    assert found["webhooks"] == ["on-call"] and 'hook"' not in json.dumps(found["rules"])


def test_a_coordinator_whose_service_does_not_run_is_not_judged_by_silence(tmp_path: Path) -> None:
    home = ConsortiumHome(tmp_path / "home")
    home.found("lyon", "ulm")
    home.store.close()
    done = ask("alerts", "check", "--home", home.root, "--json")
    assert done.returncode == 0
    assert as_json(done)["not_judged"] == ["hospital-silent"]


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    for command in (("check",), ("list",), ("show", "1")):
        done = ask("alerts", *command, "--out", tmp_path)
        assert done.returncode == 2 and "holds no run" in done.stderr
