"""Requests of somebody who tries: to lead people elsewhere, to guess, to stay after the account."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg

from compliance.governance.access.lock_out import FREE_FAILURES
from compliance.governance.acts import ActRequest
from coordinator.runs.person_acts import perform
from coordinator.runs.sign_in import accounts_of
from dashboard.server import Download
from dashboard.server.http.address_limits import AddressLimits
from dashboard.server.http.message_limits import A_SECOND, AT_ONCE, MessageLimits
from dashboard.server.http.requests import RequestFacts
from dashboard.viewer import Viewer
from protocol.errors import PolicyRefused
from tests.support.dashboard.asked import OWN, AskedServer, Seconds
from tests.support.hospital.accounts import DAN, Accounts
from tests.support.hospital.people import ADA
from tests.unit.dashboard.server.test_access_control import message, talked


@pytest.fixture
def asked(tmp_path: Path) -> AskedServer:
    accounts = Accounts(tmp_path / "c")
    accounts.set(ADA)
    accounts.set(DAN)
    return AskedServer(accounts)


@pytest.mark.parametrize(
    "path", ["//evil.example/", "//evil.example/runs", "/\\evil.example", "/a\r\nb", "/login/x"]
)
def test_a_link_to_this_server_leads_to_no_other(asked: AskedServer, path: str) -> None:
    follows = {**OWN, "sec-fetch-mode": "navigate"}
    led = asked.ask(path, headers={**follows, "sec-fetch-site": "cross-site"}, query="a=//x")
    assert b'content="0;url=/"' in led.body and b"evil" not in led.body
    assert asked.ask(path, headers=follows).headers["location"] == "/login?then=/"


def test_whoever_has_a_network_of_version_6_has_one_place(asked: AskedServer) -> None:
    limits = AddressLimits(Seconds())
    tries = [limits.take(f"2001:db8:0:1::{number:x}") for number in range(1, 20)]
    assert tries == [True] * FREE_FAILURES + [False] * (19 - FREE_FAILURES)
    assert limits.take("2001:db8:0:2::1") and limits.take("fe80::1%eth0")
    limits.clear("2001:db8:0:1:ffff::")
    assert limits.take("2001:db8:0:1::1")


def test_the_address_is_the_one_of_the_line_that_the_proxy_added() -> None:
    lines = [(b"x-forwarded-for", b"1.1.1.1"), (b"x-forwarded-for", b"2.2.2.2, 3.3.3.3")]
    facts = RequestFacts({"headers": lines, "client": ("10.0.0.1", 1)})
    assert facts.client(behind_proxy=True) == "3.3.3.3"
    assert facts.client(behind_proxy=False) == "10.0.0.1"


def test_sessions_end_when_their_account_is_set_anew_or_removed(asked: AskedServer) -> None:
    accounts, words = asked.accounts, "another sentence of dan"
    first = asked.log_in(DAN).token
    ada = asked.log_in(ADA).token
    asked.server._look()
    assert asked.ask("/", token=first).status == 200
    accounts.set(DAN, words)
    asked.server._look()
    assert asked.ask("/", token=first).status == 401
    second = asked.log_in(DAN, words).token
    gone = ActRequest(action="account.remove", subject_kind="person", subject=DAN)
    perform(accounts.root, gone, accounts.people.key(ADA), clock=accounts.clock)
    asked.server._look()
    assert asked.ask("/", token=second).status == 401
    assert asked.ask("/", token=ada).status == 200


def test_a_session_lives_on_when_its_box_is_sealed_at_a_higher_cost(tmp_path: Path) -> None:
    from compliance.governance.access.sealed_key import SealingCost

    accounts = Accounts(tmp_path / "c")
    accounts.set(ADA)
    asked = AskedServer(accounts, cost=SealingCost(memory_kib=16, passes=1, lanes=1))
    token = asked.log_in(ADA).token
    asked.server._look()
    assert asked.ask("/", token=token).status == 200


def test_messages_that_no_page_sends_do_not_reach_streamlit(asked: AskedServer) -> None:
    said = {**OWN, "cookie": f"{asked.listening.cookie}={asked.log_in(ADA).token}"}
    odd = [
        BackMsg(load_git_info=True), BackMsg(clear_cache=True), BackMsg(set_run_on_save=True),
        BackMsg(debug_shutdown_runtime=True), BackMsg(debug_disconnect_websocket=True),
    ]  # fmt: skip
    messages = [bytes(one.SerializeToString()) for one in odd]
    opened, echoed = asyncio.run(talked(asked, said, *messages, message(auto=True)))
    assert opened["type"] == "websocket.accept" and echoed["bytes"] == message(auto=True)


def test_nothing_is_uploaded(asked: AskedServer) -> None:
    token = asked.log_in(ADA).token
    for method in ("GET", "PUT", "POST", "DELETE"):
        assert asked.ask("/_stcore/upload_file/a/b", method, token=token).status == 404
    assert not asked.page.seen


def test_a_page_of_another_port_makes_nobody_download(tmp_path: Path) -> None:
    def makes(path: str, _said: Mapping[str, str], _viewer: Viewer) -> Download:
        return Download(name=path, media_type="text/csv", parts=[b""], kind="report", subject=path)

    accounts = Accounts(tmp_path / "c")
    accounts.set(ADA)
    asked = AskedServer(accounts, downloads=makes)
    token = asked.log_in(ADA).token
    for site in ("same-site", "cross-site"):
        headers = {**OWN, "sec-fetch-site": site}
        assert asked.ask("/download/x", headers=headers, token=token).status == 403
    assert asked.ask("/download/x", token=token).status == 200


def test_names_of_links_are_not_looked_up_before_anybody_follows_them(asked: AskedServer) -> None:
    for path in ("/", "/login"):
        assert asked.ask(path).headers["x-dns-prefetch-control"] == "off"


def test_who_fails_to_log_in_keeps_nobody_inside_from_their_acts(asked: AskedServer) -> None:
    token = asked.log_in(ADA).token
    for number in range(2 * FREE_FAILURES):
        asked.accounts.clock.move(seconds=90)
        asked.log_in(ADA, "wrong, wrong, wrong", "123456", client=f"10.0.0.{number}")
    [ada] = [one for one in accounts_of(asked.accounts.root, asked.accounts.clock)
             if one.person == ADA]  # fmt: skip
    assert ada.wait is not None and ada.wait > 90
    assert asked.server.sessions is not None
    viewer = asked.server.viewer(asked.server.sessions.find(token))
    unlock = ActRequest(action="account.unlock", subject_kind="person", subject=DAN)
    assert viewer.perform(unlock, code=asked.accounts.fresh_code(ADA))["person"] == DAN
    for _ in range(FREE_FAILURES):
        with pytest.raises(PolicyRefused):
            viewer.perform(unlock, code="000000")
    assert asked.server.sessions.find(token) is None  # and wrong codes end the session
    asked.accounts.clock.move(hours=1)
    assert asked.log_in(ADA, client="10.0.1.2").status == 303


def test_who_sends_more_than_a_page_does_waits_for_each() -> None:
    seconds = Seconds()
    limits = MessageLimits(seconds)
    waits = [limits.seconds_to_wait() for _ in range(AT_ONCE + 30)]
    assert waits[:AT_ONCE] == [0.0] * AT_ONCE
    assert waits[AT_ONCE] == pytest.approx(1 / A_SECOND) and waits[-1] == pytest.approx(2.0)
    seconds.now += 2 + AT_ONCE / A_SECOND
    assert [limits.seconds_to_wait() for _ in range(AT_ONCE)] == [0.0] * AT_ONCE
    for _ in range(50):
        seconds.now += 0.1
        assert limits.seconds_to_wait() < 3
