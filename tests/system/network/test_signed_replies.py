"""A thief with every TLS key of the coordinator, but not its signing key, can withhold and no more.

It answers hospitals in the coordinator's place: what it says is not signed, or
was signed for another request.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from coordinator.database.workspace import Workspace
from coordinator.membership.authority import Authority
from protocol.errors import MessageRefused, PolicyRefused
from protocol.identity.roster import SigningKey
from protocol.transport.requests import PROOF_HEADER, REPLY_HEADER, Delivery, sign_reply, to_bytes
from protocol.transport.run_announcement import (
    RunAnnouncement,
    open_end,
    sign_announcement,
    sign_end,
)
from silos.config.credentials import Credentials
from silos.database.joined_runs import JoinedRuns, RunState
from silos.network.client import CoordinatorClient
from silos.rounds.openings.rollback_evidence import read_signed_heads
from tests.support.machine.patience import PATIENCE
from tests.support.networked.network import Network, Site, until
from tests.support.simulated.studies import small_study

RUN = "20260101-120000-1f2e"
Says = Callable[[str, str], tuple[int, bytes, str]]


@pytest.fixture
def network(tmp_path: Path) -> Network:
    """A founded consortium whose real service is gone, and a hospital that has joined a run."""
    network = Network(tmp_path, small_study())
    with network.serving():
        pass
    hospital = network.sites["east"].open()
    notice = RunAnnouncement(run_id=RUN, study=network.study.digest, roster="0" * 64)
    signed = sign_announcement(notice, Workspace(network.home).signing_key())
    JoinedRuns(hospital).record(
        RUN, study=network.study.digest, state=RunState.JOINED, notice=signed
    )
    hospital.close()
    return network


@contextmanager
def thief(network: Network, says: Says) -> Iterator[str]:
    """Serves with the coordinator's own TLS key; ``says`` gives status, body, signature header."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            status, body, signature = says(self.path, self.headers[PROOF_HEADER])
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            if signature:
                self.send_header(REPLY_HEADER, signature)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = _answer

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = Authority.open(network.home).server_context()
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join(PATIENCE)
        server.server_close()


def line(site: Site, url: str) -> CoordinatorClient:
    hospital = site.open()
    key = SigningKey.from_bytes(hospital.identity_key)
    hospital.close()
    tls = Credentials(site.home / "tls", site.name)
    return CoordinatorClient(site.name, url, key, tls.context(), coordinator=tls.coordinator.key)


def state_of(site: Site) -> RunState:
    hospital = site.open()
    ((_, state),) = [(run.run_id, run.state) for run in JoinedRuns(hospital).all()]
    hospital.close()
    return state


def leaving(path: str, end: bytes) -> bytes:
    """What ends a run: the delivery, and the document."""
    if path.startswith("/v1/inbox"):
        return to_bytes(Delivery(number=2**52, run_id=RUN, kind="leave", message=end))
    return end


@pytest.mark.parametrize("forged", [b"nobody signed this", b"ended", b""])
def test_thief_of_the_servers_key_cannot_end_a_hospitals_run(
    network: Network, forged: bytes
) -> None:
    """Security review, finding 12: two deliveries ``leave`` ended a run for good."""
    asked: list[str] = []

    def says(path: str, _: str) -> tuple[int, bytes, str]:
        asked.append(path)
        return 200, leaving(path, forged), ""

    site = network.sites["east"]
    with thief(network, says) as site.url:
        site.start()
        until(lambda: len(asked) >= 4)
        site.stop()
    assert not site.failures
    assert state_of(site) is RunState.JOINED


def test_what_the_coordinator_signed_for_another_request_ends_nothing(network: Network) -> None:
    """Not even the genuine reply to the same question, asked a moment before."""
    key = Workspace(network.home).signing_key()
    first: dict[str, str] = {}

    def says(path: str, proof: str) -> tuple[int, bytes, str]:
        body = leaving(path, sign_end("another-run", key))
        signature = sign_reply(first.setdefault(path, proof), 200, body, 5_000, key)
        return 200, body, signature

    site = network.sites["east"]
    with thief(network, says) as url:
        wire = line(site, url)
        genuine = wire.document(f"runs/{RUN.encode().hex()}")
        assert genuine == sign_end("another-run", key)
        with pytest.raises(MessageRefused, match="under another reply"):
            wire.document(f"runs/{RUN.encode().hex()}")
        wire.close()
        with pytest.raises(MessageRefused, match="another run has ended"):
            open_end(genuine, RUN, key.public)


@pytest.mark.long
def test_run_goes_on_after_a_leave_that_nobody_signed(tmp_path: Path) -> None:
    """Even out of the coordinator's own mailbox: the end of a run is a statement of its own."""
    network = Network(tmp_path, small_study())
    with network.serving():
        network.start_sites()
        run = network.service.start_run(network.study.digest, test_noise=True)
        until(lambda: network.rounds_finished(run) >= 1)
        unsigned = Delivery(number=0, run_id=run, kind="leave", message=b"nobody signed this")
        for site in network.sites:
            network.service._resources.mailbox.post(site, unsigned)
        network.service.wait(run, PATIENCE)
        assert network.row(run).state == "finished"


def test_words_that_are_not_there_are_no_words_that_say_nothing() -> None:
    """Whoever withholds them must not switch the check of the ledger off."""
    with pytest.raises(PolicyRefused, match="cannot be told whether the ledger is an old one"):
        read_signed_heads(None)


@pytest.mark.long
def test_hospital_joins_no_run_while_its_own_statements_are_withheld(tmp_path: Path) -> None:
    network = Network(tmp_path, small_study())
    document = network.service._backend.document
    network.service._backend.document = (  # type: ignore[method-assign]
        lambda site, name: None if (site, name) == ("east", "statements") else document(site, name)
    )
    with network.serving():
        network.start_sites()
        run = network.run()
        assert network.row(run).state == "finished"
        hospital = network.sites["east"].open()
        assert [run.state for run in JoinedRuns(hospital).all()] == [RunState.REFUSED]
        assert not hospital.ledger.summary().of("training").spent
        hospital.close()
