"""Requests and websockets: without a session, from elsewhere, for another name."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from compliance.governance.access.lock_out import FREE_FAILURES
from compliance.governance.access.looking import Subject
from compliance.governance.acts import ActRequest
from coordinator.governance.accounts.guarded import SUBJECTS, PeopleNow, guarded
from coordinator.runs.sign_in import REFUSED
from coordinator.views.views import Views, open_views
from dashboard.server import (
    DashboardServer,
    Download,
    Listening,
    SessionLimits,
    Settings,
    viewer_now,
)
from dashboard.server.access_control import Message
from dashboard.server.http.activity import is_activity
from dashboard.server.http.address_limits import MAX_ADDRESSES, AddressLimits
from dashboard.server.own_pages import TOLD, login_page, own_path, speak_to
from dashboard.server.sessions import Ended
from dashboard.texts import say
from dashboard.viewer import DemoViewer, Viewer
from protocol.errors import PolicyRefused
from tests.support.dashboard.asked import HOST, OWN, AskedServer, Page, Seconds
from tests.support.hospital.accounts import DAN, PASSWORD, Accounts
from tests.support.hospital.consortium_home import ConsortiumHome
from tests.support.hospital.people import ADA, BEA, People


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Accounts:
    made = Accounts(tmp_path_factory.mktemp("access") / "c")
    made.set(ADA)
    made.set(DAN)
    return made


@pytest.fixture
def asked(accounts: Accounts) -> AskedServer:
    return AskedServer(accounts)


@pytest.fixture
def token(asked: AskedServer) -> str:
    answer = asked.log_in(ADA)
    assert answer.status == 303, answer.body
    return answer.token


def test_the_page_gets_a_handle_and_never_the_token(asked: AskedServer, token: str) -> None:
    forged = {
        **OWN,
        "x-collegium-session": "forged",
        "cookie": f"a=b; {asked.listening.cookie}={token}",
    }
    assert asked.ask("/", headers=forged).status == 200
    (seen,) = asked.page.seen
    assert seen["cookie"] == "a=b" and seen["x-collegium-session"] != "forged"
    assert token not in repr(seen)
    assert asked.server.sessions is not None
    found = asked.server.sessions.named(seen["x-collegium-session"])
    assert found is not None and found.person == ADA


def test_changed_doubled_and_foreign_tokens_are_worth_nothing(
    asked: AskedServer, token: str
) -> None:
    name = asked.listening.cookie
    for cookie in (
        f"{name}={token[:-1]}{'A' if token[-1] != 'A' else 'B'}", f"{name}={token}x", f"{name}=",
        f"{name}={token}; {name}={token}", f"{name}=x; {name}={token}", f"other={token}",
        f"{name}={token.lower()}", f'{name}="{token}"',
    ):  # fmt: skip
        assert asked.ask("/", headers={**OWN, "cookie": cookie}).status == 401, cookie
    assert not asked.page.seen


def test_every_login_makes_another_token_and_ends_the_one_before(
    asked: AskedServer, token: str
) -> None:
    planted = asked.log_in(ADA, token="planted-by-somebody")  # noqa: S106  (of a test)
    assert planted.status == 303 and planted.token not in ("", "planted-by-somebody", token)
    again = asked.log_in(ADA, token=token)
    assert again.status == 303
    assert asked.ask("/", token=token).status == 401
    assert asked.ask("/", token=again.token).status == 200


def test_the_cookie_is_for_this_server_alone(asked: AskedServer) -> None:
    said = asked.log_in(ADA).headers["set-cookie"].lower()
    assert "httponly" in said and "samesite=strict" in said and "path=/" in said
    assert "domain" not in said and "max-age" not in said and "secure" not in said


@pytest.mark.parametrize(
    "headers",
    [
        {"host": HOST, "origin": "http://evil.example"},
        {"host": HOST, "origin": "http://127.0.0.1:9999"},
        {"host": HOST, "origin": "https://127.0.0.1:8501"},
        {"host": HOST, "origin": "null"},
        {"host": HOST, "origin": "null", "sec-fetch-site": "cross-site"},
        {"host": HOST, "sec-fetch-site": "same-site"},
        {"host": HOST},
    ],
)
def test_a_form_of_another_page_changes_nothing(
    asked: AskedServer, token: str, headers: Mapping[str, str]
) -> None:
    for path in ("/logout", "/login", "/anything", "/_stcore/upload_file/a/b"):
        assert asked.ask(path, "POST", headers, token).status == 403, path
    assert asked.log_in(ADA, headers=headers).status == 403
    assert asked.ask("/", token=token).status == 200


def test_a_browser_that_hides_the_origin_of_its_own_form_is_served(
    asked: AskedServer, token: str
) -> None:
    hidden = {"host": HOST, "origin": "null", "sec-fetch-site": "same-origin"}
    assert asked.ask("/logout", "POST", hidden, token).status == 303


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:8501.evil.example", ""]
)
def test_another_name_is_refused_whatever_else_is_right(
    asked: AskedServer, token: str, host: str
) -> None:
    for path in ("/", "/login", "/healthz"):
        assert (
            asked.ask(path, headers={"host": host, "origin": OWN["origin"]}, token=token).status
            == 400
        )
    twice = asked.ask("/", headers={"origin": OWN["origin"]}, token=token)
    assert twice.status == 400 and not asked.page.seen


def test_a_page_is_asked_for_again_after_the_login(asked: AskedServer) -> None:
    navigates = {**OWN, "sec-fetch-mode": "navigate"}
    answer = asked.ask("/runs", headers=navigates, query="run=1&x=%2F")
    assert (answer.status, answer.headers["location"]) == (
        303,
        "/login?then=/runs%3Frun%3D1%26x%3D%252F",
    )
    assert asked.log_in(ADA, then="/runs?run=1").headers["location"] == "/runs?run=1"
    assert asked.log_in(ADA, then="https://evil.example").headers["location"] == "/"


def test_whoever_follows_a_link_from_elsewhere_is_led_on_once(asked: AskedServer) -> None:
    follows = {**OWN, "sec-fetch-mode": "navigate", "sec-fetch-site": "cross-site"}
    answer = asked.ask("/runs", headers=follows, query='a="><script>')
    assert (
        answer.status == 200 and b'content="0;url=/runs?a=&quot;&gt;&lt;script&gt;"' in answer.body
    )
    assert "script-src" not in answer.headers["content-security-policy"]
    assert asked.ask("/runs", headers={**follows, "sec-fetch-site": "same-origin"}).status == 303


@pytest.mark.parametrize(
    "said",
    ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "/login", "/a\nb", ""],
)
def test_a_login_leads_to_no_other_server(said: str) -> None:
    assert own_path({"then": said}) == "/"


def test_wrong_logins_get_one_sentence_and_no_cookie(asked: AskedServer) -> None:
    bodies = set()
    for name, password in ((ADA, "wrong, wrong, wrong"), ("Nobody", PASSWORD)):
        answer = asked.log_in(name, password, "123456", client=name)
        assert answer.status == 403 and "set-cookie" not in answer.headers
        bodies.add(answer.body.replace(name.encode(), b""))
    assert len(bodies) == 1 and REFUSED.encode() in bodies.pop()


def test_whoever_guesses_from_one_address_waits_whatever_the_name(asked: AskedServer) -> None:
    statuses = [asked.log_in(f"n{n}", "x", "1", client="10.0.0.9").status for n in range(8)]
    assert statuses == [403] * FREE_FAILURES + [429] * 3
    assert asked.log_in(ADA, client="10.0.0.10").status == 303
    assert asked.log_in(ADA, client="10.0.0.9").status == 429
    asked.seconds.now += 31
    assert asked.log_in(ADA, client="10.0.0.9").status == 303


def test_addresses_are_remembered_up_to_a_bound() -> None:
    limits = AddressLimits(Seconds())
    for number in range(MAX_ADDRESSES + 50):
        assert limits.take(str(number))
    assert len(limits._known) == MAX_ADDRESSES


def test_behind_a_proxy_the_address_is_the_one_that_the_proxy_names(accounts: Accounts) -> None:
    listening = Listening(behind_proxy=True, url="https://d.example.org")
    asked = AskedServer(accounts, listening)
    for number in range(FREE_FAILURES + 1):
        said = {"host": "d.example.org", "origin": "https://d.example.org"}
        said["x-forwarded-for"] = f"1.2.3.{number}, 10.9.9.9"  # the first is anybody's claim
        last = asked.log_in("x", "y", "1", headers=said)
    assert last.status == 429
    said["x-forwarded-for"] = "10.9.9.8"
    done = asked.log_in(ADA, headers=said)
    assert done.status == 303 and "__Host-collegium=" in done.headers["set-cookie"]
    assert "Secure" in done.headers["set-cookie"]
    assert "max-age" in done.headers["strict-transport-security"]


def test_logins_and_refusals_are_counted(asked: AskedServer, token: str) -> None:
    asked.log_in("Nobody", "x", "1")
    asked.ask("/")
    asked.ask("/", "POST", {"host": HOST})
    asked.server._look()
    counted = {
        (metric.name, *sample.labels.values()): sample.value
        for metric in asked.server._settings.metrics.registry.collect()
        for sample in metric.samples
        if sample.name.endswith(("_total", "_sessions"))
    }
    for name, label in (("logins", "accepted"), ("logins", "refused"), ("refusals", "no session"),
                        ("refusals", "cross site")):  # fmt: skip
        assert counted[f"collegium_dashboard_{name}", label] == 1
    assert counted["collegium_dashboard_sessions",] == 1


def test_a_form_that_is_too_large_or_none_is_refused(asked: AskedServer) -> None:
    for body in (b"x" * 9000, b"\xff\xfe", b"&".join([b"a=1"] * 20)):
        assert asked.ask("/login", "POST", body=body).status in (400, 403)


def test_every_answer_has_the_headers(asked: AskedServer, token: str) -> None:
    for path in ("/", "/login", "/healthz", "/logout", "/static/x.js", "/media/x"):
        said = asked.ask(path, token=token).headers
        assert said["x-content-type-options"] == "nosniff"
        assert path == "/media/x" or "frame-ancestors 'none'" in said["content-security-policy"]
    policy = asked.ask("/", token=token).headers["content-security-policy"]
    assert "unsafe-eval" not in policy and "http:" not in policy
    assert "'unsafe-inline'" not in re.search("script-src[^;]*", policy).group()  # type: ignore[union-attr]
    assert asked.ask("/", token=token).headers["cache-control"] == "no-store"


def test_the_own_pages_need_no_script_and_escape_what_was_typed() -> None:
    page = login_page(told='<b>"', name='"><script>', then='/"><script>')
    assert "<script" not in page and "<b>" not in page
    for label in ("name", "password", "code"):
        assert f'<label for="{label}">{say(f"login.{label}")}' in page
    assert "prefers-color-scheme: dark" in page and 'lang="en"' in page
    assert {*Ended} <= TOLD
    speak_to("de-CH,de;q=0.9,en;q=0.8")
    german = login_page(told="refused")
    speak_to("ja")
    assert 'lang="de"' in german and "Einmalcode" in german and "ist falsch" in german
    assert 'lang="en"' in login_page()


def test_without_people_it_opens_on_this_machine_alone(accounts: Accounts) -> None:
    demo = AskedServer(accounts, login=False)
    (opened, _) = asyncio.run(talked(demo, OWN, b"x"))
    assert opened["type"] == "websocket.accept"
    assert demo.ask("/").status == 200 and demo.ask("/login").status == 303
    assert demo.ask("/", headers={"host": "evil.example"}).status == 400
    with pytest.raises(PolicyRefused, match="on this machine alone"):
        AskedServer(
            accounts, Listening(behind_proxy=True, url="https://d.example.org"), login=False
        )


def test_a_demo_closes_when_the_first_person_is_registered(tmp_path: Path) -> None:
    home = ConsortiumHome(tmp_path / "c")
    settings = Settings(script=tmp_path, out=home.root, listening=Listening(), login=False)
    server = DashboardServer(settings, Page())
    server._look()
    assert not server.control.closed
    People.over(home.store, home.key, home.clock).found_first()
    home.store.close()
    server._look()
    assert server.control.closed


def test_paths_of_streamlit_that_nobody_needs_are_closed(asked: AskedServer, token: str) -> None:
    for path in (
        "/_stcore/agent/openapi.json",
        "/_stcore/metrics",
        "/oauth2callback",
        "/auth/login",
    ):
        assert asked.ask(path, token=token).status == 404
    assert not asked.page.seen


def test_a_file_that_was_shown_to_nobody_is_not_served(asked: AskedServer, token: str) -> None:
    assert asked.ask("/media/0123456789abcdef0123.csv", token=token).status == 404
    assert not asked.page.seen


def test_a_session_that_is_idle_opens_nothing(asked: AskedServer, token: str) -> None:
    asked.seconds.now += SessionLimits().idle
    assert asked.ask("/", token=token).status == 401


def socket_scope(asked: AskedServer, headers: Mapping[str, str]) -> dict[str, Any]:
    return {
        "type": "websocket", "path": "/_stcore/stream", "query_string": b"",
        "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        "subprotocols": ["streamlit", "xsrf", "an-older-page"], "client": ("127.0.0.1", 1),
    }  # fmt: skip


async def talked(
    asked: AskedServer, headers: Mapping[str, str], *messages: bytes, stop: bool = False
) -> list[Message]:
    """Returns what the server sends over a websocket on which a browser sends messages."""
    sent: list[Message] = []
    told = asyncio.Queue[Message]()
    told.put_nowait({"type": "websocket.connect"})
    for message in messages:
        told.put_nowait({"type": "websocket.receive", "bytes": message})
    if not stop:
        told.put_nowait({"type": "websocket.disconnect", "code": 1000})

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] == "websocket.close":
            told.put_nowait({"type": "websocket.disconnect", "code": 1000})

    running = asyncio.ensure_future(asked.server(socket_scope(asked, headers), told.get, send))
    while stop and len(sent) < 1 + len(messages):
        await asyncio.sleep(0.01)
    for socket in list(asked.server.control.sockets) if stop else ():
        assert asked.server.sessions is not None
        asked.server.sessions.end(socket.session, Ended.LOGGED_OUT)
        socket.stop(4401)
    await asyncio.wait_for(running, 10)
    return sent


def message(*, auto: bool) -> bytes:
    said = BackMsg()
    said.rerun_script.query_string = "a"
    said.rerun_script.is_auto_rerun = auto
    return bytes(said.SerializeToString())


def heartbeat() -> bytes:
    said = BackMsg()
    said.app_heartbeat = True
    return bytes(said.SerializeToString())


def test_only_what_a_person_does_is_activity() -> None:
    assert is_activity(message(auto=False))
    for other in (message(auto=True), heartbeat(), b"", b"\xff\xff"):
        assert not is_activity(other)


@pytest.mark.parametrize("origin", [None, "http://evil.example", "null", "https://127.0.0.1:8501"])
def test_a_websocket_of_another_page_is_closed_before_it_opens(
    asked: AskedServer, token: str, origin: str | None
) -> None:
    headers = {
        "host": HOST,
        "cookie": f"{asked.listening.cookie}={token}",
        "sec-fetch-site": "same-origin",
    }
    if origin is not None:
        headers["origin"] = origin
    (closed,) = asyncio.run(talked(asked, headers, message(auto=False)))
    assert closed["type"] == "websocket.close" and not asked.page.seen


def test_a_websocket_needs_a_session_and_leaves_older_pages_alone(
    asked: AskedServer, token: str
) -> None:
    (closed,) = asyncio.run(talked(asked, OWN, b"x"))
    assert closed["type"] == "websocket.close" and not asked.page.seen
    said = {**OWN, "cookie": f"{asked.listening.cookie}={token}"}
    said["sec-websocket-protocol"] = "streamlit, xsrf, an-older-page"
    opened, echoed = asyncio.run(talked(asked, said, b"hello"))
    assert opened["type"] == "websocket.accept" and echoed["bytes"] == b"hello"
    (seen,) = asked.page.seen
    assert "older" not in seen["sec-websocket-protocol"] and token not in repr(seen)


def test_live_refreshes_keep_no_session_alive(asked: AskedServer, token: str) -> None:
    said = {**OWN, "cookie": f"{asked.listening.cookie}={token}"}
    assert asked.server.sessions is not None
    (session,) = asked.server.sessions.alive()
    began = session.active
    asked.seconds.now += 100
    quiet = [message(auto=False), message(auto=True), heartbeat(), b"\xff"]
    asyncio.run(talked(asked, said, *quiet))  # the first is what a page asks for by itself
    assert session.active == began
    asyncio.run(talked(asked, said, message(auto=False), message(auto=False)))
    assert session.active == began + 100


def test_a_websocket_whose_session_ends_sends_the_browser_away(
    asked: AskedServer, token: str
) -> None:
    said = {**OWN, "cookie": f"{asked.listening.cookie}={token}"}
    sent = asyncio.run(talked(asked, said, b"hello", stop=True))
    assert [one["type"] for one in sent[-2:]] == ["websocket.send", "websocket.close"]
    assert ForwardMsg.FromString(sent[-2]["bytes"]).auth_redirect.url == "/login?told=logged-out"
    assert sent[-1]["code"] == 4401 and not asked.server.control.sockets


def test_a_look_ends_the_session_of_whoever_may_look_no_longer(tmp_path: Path) -> None:
    accounts = Accounts(tmp_path / "c")
    accounts.set(DAN)
    asked = AskedServer(accounts)
    token = asked.log_in(DAN).token
    assert asked.server._look() == set() and asked.ask("/", token=token).status == 200
    accounts.people.together(ADA, BEA, "person.roles", ("person", DAN), roles=("auditor",))
    assert len(asked.server._look()) == 1 and asked.server._look() == set()
    accounts.people.together(ADA, BEA, "person.retire", ("person", DAN))
    asked.server._look()
    assert asked.ask("/", token=token).status == 401


def test_a_download_is_refused_before_it_is_made_up_and_logged_before_it_leaves(
    accounts: Accounts,
) -> None:
    made: list[str] = []

    def makes(path: str, said: Mapping[str, str], viewer: Viewer) -> Download:
        made.append(viewer.name)
        return Download(
            name=f"{path}\r\nx: y", media_type="text/csv", parts=[b"a,", b"b"], kind="report",
            subject=path,
        )  # fmt: skip

    asked = AskedServer(accounts, downloads=makes)
    assert asked.ask("/download/x").status == 401 and not made
    token = asked.log_in(ADA).token
    answer = asked.ask("/download/x", token=token)
    assert answer.body == b"a,b" and made == [ADA]
    assert "\r" not in answer.headers["content-disposition"]
    views = open_views(accounts.root)
    assert [act.action for act in views.acts()][-1] == "report.export"
    views.close()
    assert asked.ask("/download/x", "POST", token=token).status == 405


def test_acts_that_ask_for_it_take_a_fresh_code_each(asked: AskedServer, token: str) -> None:
    assert asked.server.sessions is not None
    viewer = asked.server.viewer(asked.server.sessions.find(token))
    assert viewer.signs and viewer.may("account.unlock") and not viewer.may("run.start")
    asked_for = ActRequest(action="account.unlock", subject_kind="person", subject=DAN)
    for code in ("", "000000", asked.accounts.code(ADA)):
        with pytest.raises(PolicyRefused, match=r"code is wrong|was used already"):
            viewer.perform(asked_for, code=code)
    assert viewer.perform(asked_for, code=asked.accounts.fresh_code(ADA))["person"] == DAN
    viewer.log_out()
    with pytest.raises(PolicyRefused, match="the session has ended"):
        viewer.perform(asked_for, code=asked.accounts.fresh_code(ADA))
    assert not viewer.signs


def test_a_session_ends_after_a_few_wrong_codes(asked: AskedServer, token: str) -> None:
    assert asked.server.sessions is not None
    viewer = asked.server.viewer(asked.server.sessions.find(token))
    asked_for = ActRequest(action="account.unlock", subject_kind="person", subject=DAN)
    for _ in range(FREE_FAILURES):
        with pytest.raises(PolicyRefused):
            viewer.perform(asked_for, code="000000")
    assert asked.server.sessions.find(token) is None
    asked.accounts.clock.move(hours=1)


def test_the_guard_asks_the_register_at_every_call(accounts: Accounts) -> None:
    people = PeopleNow(accounts.root, accounts.clock)
    views = open_views(accounts.root)
    key = accounts.people.key(DAN).public.hex()
    own = guarded(views, lambda subject: people.require(key, subject))
    assert own.runs() == ()
    for look in (own.acts, own.governance, own.cosigned_log):
        with pytest.raises(PolicyRefused, match=r"may not look at (audit|approvals)"):
            look()
    with pytest.raises(PolicyRefused, match="nobody may look at _store"):
        own._store  # noqa: B018
    ada = guarded(
        views, lambda subject: people.require(accounts.people.key(ADA).public.hex(), subject)
    )
    assert ada.acts() and ada.governance().governed
    people.close()
    views.close()


def test_every_query_of_the_views_stands_in_the_guards_table() -> None:
    queries = {name for name in dir(Views) if not name.startswith("_")}
    assert len(queries) > 30 and "acts" in queries
    assert queries <= set(SUBJECTS), "say which subject a new query is of"
    assert {subject for subject in SUBJECTS.values() if subject} <= set(Subject)


def test_without_our_server_only_a_folder_without_people_is_shown() -> None:
    with pytest.raises(PolicyRefused, match="people are registered here"):
        viewer_now()
    viewer = viewer_now(lambda: False)
    assert isinstance(viewer, DemoViewer) and not viewer.signs and not viewer.may("login")
    with pytest.raises(PolicyRefused, match="needs a person who has logged in"):
        viewer.perform(ActRequest(action="run.stop", subject_kind="run", subject="r"))


def test_the_server_is_warm_before_it_answers_anybody(tmp_path: Path) -> None:
    seen: list[str] = []

    async def page(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})

    async def send(message: Message) -> None:
        seen.append(message["type"])

    settings = Settings(
        script=Path("none"), out=tmp_path, listening=Listening(), login=False,
        warm_up=lambda: seen.append("warm"),
    )  # fmt: skip
    server = DashboardServer(settings, page)
    asyncio.run(server({"type": "lifespan"}, asyncio.Event().wait, send))  # type: ignore[arg-type]
    assert seen == ["warm", "lifespan.startup.complete", "lifespan.shutdown.complete"]
