"""What a scrape looks up: an unknown number is left out, and one that is known is right."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from compliance.audit.log import NewEntry
from compliance.storage.clock import timestamp
from coordinator.database.alert_tables import AlertMessageRow, AlertRow
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.http.metrics import state_metrics
from coordinator.http.metrics.state_metrics import RunStanding, StateMetrics
from protocol.encoding import digest
from protocol.errors import StoreBroken
from tests.support.hospital.consortium_home import ConsortiumHome
from tests.support.networked.finished_network import finish_a_run

BEGAN = 1_800_000_000.0


def shown(store: Store, folder: Path, **given: object) -> CollectorRegistry:
    registry = CollectorRegistry()
    defaults = {"runs": list, "heard": dict, "began": BEGAN}
    registry.register(StateMetrics(store, folder, **defaults | given))  # type: ignore[arg-type]
    return registry


@pytest.fixture
def home(tmp_path: Path) -> Iterator[ConsortiumHome]:
    consortium = ConsortiumHome(tmp_path / "c")
    consortium.enrol("east", "lyon", "oslo")
    consortium.sign("east", "lyon", "oslo")
    yield consortium
    consortium.store.close()


class Silent:
    """A database that nobody answers for."""

    @contextmanager
    def read(self) -> Iterator[None]:
        raise StoreBroken("the database is silent")
        yield


def test_a_database_that_is_away_leaves_its_figures_out(tmp_path: Path) -> None:
    registry = shown(Silent(), tmp_path)  # type: ignore[arg-type]
    value = registry.get_sample_value
    assert value("collegium_database_up") == 0
    assert value("collegium_log_entries") is None
    assert value("collegium_alerts_open", {"severity": "critical"}) is None
    assert value("collegium_folder_free_bytes") is not None
    assert value("collegium_runs", {"state": "running"}) == 0


def test_a_folder_that_is_gone_leaves_its_disk_out(home: ConsortiumHome, tmp_path: Path) -> None:
    registry = shown(home.store, tmp_path / "none")
    assert registry.get_sample_value("collegium_folder_free_bytes") is None
    assert registry.get_sample_value("collegium_database_up") == 1


def test_members_alone_are_labels_and_were_heard_no_earlier_than_the_start(
    home: ConsortiumHome, tmp_path: Path
) -> None:
    heard = {"east": BEGAN + 60, "lyon": BEGAN - 60, "nobody": BEGAN}
    registry = shown(home.store, tmp_path, heard=lambda: heard)
    found = {
        sample.labels["site"]: sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "collegium_site_heard_timestamp_seconds"
    }
    assert found == {"east": BEGAN + 60, "lyon": BEGAN, "oslo": BEGAN}


def test_the_longest_idle_run_of_each_state_is_shown(home: ConsortiumHome, tmp_path: Path) -> None:
    runs = [
        RunStanding(state="running", idle_seconds=5.0),
        RunStanding(state="running", idle_seconds=9.0),
        RunStanding(state="paused", idle_seconds=99.0),
    ]
    value = shown(home.store, tmp_path, runs=lambda: runs).get_sample_value
    assert value("collegium_runs", {"state": "running"}) == 2
    assert value("collegium_run_idle_seconds", {"state": "running"}) == 9
    assert value("collegium_run_idle_seconds", {"state": "waiting"}) == 0


def test_alerts_and_their_messages_are_counted(home: ConsortiumHome, tmp_path: Path) -> None:
    now = timestamp()
    with home.store.transaction() as transaction:
        for number, closed in ((1, None), (2, now)):
            alert = AlertRow(
                id=number, rule="r", kind="k", severity="critical", subject=str(number),
                cause_json="{}", raised_at=now, closed_at=closed,
            )  # fmt: skip
            transaction.write(alert)
        for number, state, attempts in ((1, "waiting", 0), (2, "waiting", 3), (3, "failed", 12)):
            message = AlertMessageRow(
                id=number, alert_id=1, webhook="w", event="raised", name=str(number), state=state,
                attempts=attempts, created_at=now, due_at=now,
            )  # fmt: skip
            transaction.write(message)
    value = shown(home.store, tmp_path).get_sample_value
    assert value("collegium_alerts_open", {"severity": "critical"}) == 1
    assert value("collegium_alerts_open", {"severity": "info"}) == 0
    assert value("collegium_alert_messages", {"state": "waiting"}) == 1
    assert value("collegium_alert_messages", {"state": "failed"}) == 1


def test_what_no_quorum_has_cosigned_ages(tmp_path: Path) -> None:
    network, _ = finish_a_run(tmp_path)
    store, key = Store(Workspace(network.home).database), Workspace(network.home).signing_key()
    with closing(store):
        whole = shown(store, network.home).get_sample_value
        assert whole("collegium_log_uncosigned_seconds") == 0
        before = whole("collegium_log_cosigned_entries")
        with store.transaction() as transaction:
            transaction.log([NewEntry(type="trial", run_id=None, payload=digest(b""))], key)
        later = shown(store, network.home, clock=lambda: time.time() + 3600).get_sample_value
        age = later("collegium_log_uncosigned_seconds")
        assert age is not None and 3590 < age < 3600 + 600
        assert later("collegium_log_cosigned_entries") == before
        entries = later("collegium_log_entries")
        assert entries is not None and before is not None and entries > before > 0


def test_scrapes_in_a_row_read_once(
    home: ConsortiumHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def runs() -> list[RunStanding]:
        asked.append(1)
        return []

    registry = shown(home.store, tmp_path, runs=runs)
    list(registry.collect())
    list(registry.collect())
    assert len(asked) == 1
    monkeypatch.setattr(state_metrics, "KEPT_SECONDS", 0.0)
    list(registry.collect())
    assert len(asked) == 2
