"""What a hospital's supervisor answers when it is asked again, or after the end."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing

import pytest

from coordinator.database.store import RunRow
from coordinator.database.workspace import Workspace
from protocol.transport.requests import Answer, Delivery
from protocol.transport.run_announcement import (
    RunAnnouncement,
    open_end,
    parse_joined,
    sign_announcement,
    sign_end,
)
from protocol.transport.steps import JOIN_REFUSED
from silos.database.joined_runs import JoinedRuns
from silos.patients.entries import EntryKind, PatientEntries
from silos.patients.frozen_cohorts import FrozenCohorts
from tests.support.machine.patience import PATIENCE
from tests.support.networked.network import Network, until
from tests.support.simulated.studies import small_study


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Network, RunRow]]:
    """A consortium whose run has finished, and which is still at work."""
    network = Network(tmp_path_factory.mktemp("network"), small_study())
    with network.serving():
        network.start_sites()
        yield network, network.row(network.run())


def asked(network: Network, site: str, draft: Delivery) -> Answer:
    mailbox = network.service._resources.mailbox
    posted = {mailbox.post(site, draft): site}
    ((_, answer),) = mailbox.collect(posted, PATIENCE, threading.Event())
    return answer


def test_hospital_that_has_left_a_run_does_not_join_it_again(
    ended: tuple[Network, RunRow],
) -> None:
    network, row = ended
    roster = network.service._rosters.current()
    assert row.state == "finished" and roster is not None
    notice = RunAnnouncement(run_id=row.id, study=network.study.digest, roster=roster.roster.digest)
    message = sign_announcement(notice, Workspace(network.home).signing_key())
    draft = Delivery(number=0, run_id=row.id, kind="join", message=message)
    assert asked(network, "east", draft).refusal == JOIN_REFUSED


def test_farewell_is_said_again_in_the_same_bytes(ended: tuple[Network, RunRow]) -> None:
    network, row = ended
    end = sign_end(row.id, Workspace(network.home).signing_key())
    draft = Delivery(number=0, run_id=row.id, kind="leave", message=end)
    first, second = asked(network, "east", draft), asked(network, "east", draft)
    assert first.message == second.message
    assert row.id.encode() in parse_joined(first.message).signed_summary.data


def test_hospital_is_told_only_of_a_run_that_there_is(ended: tuple[Network, RunRow]) -> None:
    network, row = ended
    backend = network.service._backend
    key = Workspace(network.home).signing_key()
    end = backend.document("east", f"runs/{row.id.encode().hex()}")
    assert end is not None
    result = open_end(end, row.id, key.public).result
    assert result is not None and result.model == row.model_digest
    with closing(network.sites["east"].open()) as hospital:
        run = JoinedRuns(hospital).of(row.id)
    assert run is not None and run.end == end  # the bytes that it was told by, and has kept
    assert backend.document("east", f"runs/{b'another'.hex()}") is None


def test_a_hospital_says_where_it_looked_for_a_coordinator_that_is_not_there(
    ended: tuple[Network, RunRow],
) -> None:
    """After a demo on any free port, a coordinator that starts on the usual one is not found."""
    east = ended[0].sites["east"]
    east.stop()
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        nowhere = f"https://127.0.0.1:{taken.getsockname()[1]}"
    there, east.url = east.url, nowhere
    east.start()
    until(lambda: '"waiting for the coordinator"' in (east.home / "status.json").read_text())
    reason = json.loads((east.home / "status.json").read_text())["reason"]
    east.stop()
    east.url = there
    east.start()
    assert reason.startswith(f"no line to the coordinator at {nowhere}: the coordinator does not")
    assert reason.endswith("does it run, and at this address and port?")


def test_what_a_run_needed_is_deleted_by_the_site_file(ended: tuple[Network, RunRow]) -> None:
    east = ended[0].sites["east"]
    east.stop()
    east.retention_days = 0
    east.start()

    def deleted() -> bool:
        with closing(east.open()) as hospital:
            entries = PatientEntries(hospital).all()
        return entries[-1].kind is EntryKind.DELETED

    until(deleted)
    with closing(east.open()) as hospital:
        cohorts = FrozenCohorts(hospital)
        assert [cohorts.kept(cohort) for cohort in cohorts.all()] == [None]
        assert PatientEntries(hospital).all()[-1].said["by"] == "the site file"
