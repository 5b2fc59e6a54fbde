"""The real server: nobody sees anything without a session, nor after it has ended."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from itertools import product

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from compliance.governance.access.linked_identity import LinkedIdentity
from compliance.governance.acts import ActRequest
from compliance.storage.clock import utc_now
from coordinator.runs.person_acts import perform
from coordinator.views.views import open_views
from tests.support.dashboard.browser import Browser, Served, left, rerun, serving, shown
from tests.support.dashboard.identity_provider import (
    CLIENT,
    SECRET,
    IdentityProvider,
    providing,
)
from tests.support.hospital.accounts import DAN, PASSWORD, Accounts
from tests.support.hospital.people import ADA, BEA, CLEO
from tests.support.machine.plain_http import NO_TLS

#: A page that says who looks and what the guard lets through, with a file of its own.
PAGE = """
import sys
from contextlib import closing
from pathlib import Path

import streamlit as st

from compliance.governance.acts import ActRequest
from coordinator.views.views import open_views
from dashboard.server import viewer_now
from protocol.errors import FederationError

try:
    viewer = viewer_now()
    st.text(f"VIEWER {viewer.name} {sorted(viewer.roles)} signs {viewer.signs}")
    with closing(open_views(Path(OUT))) as views:
        own = viewer.guard(views)
        st.text(f"RUNS {len(own.runs())}")
        try:
            st.text(f"ACTS {len(own.acts()) > 0}")
        except FederationError as error:
            st.text(f"NO ACTS {error}")
    st.download_button("file", f"secret of {viewer.name}", "secret.txt")
    st.text(f"HEADERS {dict(st.context.headers)} {dict(st.context.cookies)}")
except FederationError as error:
    st.text(f"REFUSED {error}")
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[IdentityProvider]:
    with providing(utc_now) as made:
        yield made


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, provider: IdentityProvider
) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("dashboard")
    (folder / "secret").write_text(SECRET)
    (folder / "secret").chmod(0o600)
    (folder / "dashboard.toml").write_text(
        f'issuer = "{provider.issuer}"\nclient_id = "{CLIENT}"\nclient_secret_file = "secret"\n'
    )
    accounts = Accounts(folder / "c")
    for name in (ADA, BEA, CLEO, DAN):
        accounts.set(name)
    accounts.link(DAN, LinkedIdentity(issuer=provider.issuer, subject="d-1"))
    script = folder / "page.py"
    script.write_text(PAGE.replace("OUT", repr(str(accounts.root))))
    with serving(accounts, script) as made:
        yield made


@pytest.fixture
def browser(served: Served) -> Iterator[Browser]:
    made = Browser(served)
    with closing(made.http):
        yield made


def acts(served: Served) -> list[tuple[str, str, str]]:
    with closing(open_views(served.accounts.root)) as views:
        return [(act.person, act.action, act.outcome) for act in views.acts()]


PATHS = [
    "/", "/?run=1", "/runs", "/_stcore/health", "/_stcore/host-config",
    "/_stcore/script-health-check", "/_stcore/metrics", "/_stcore/agent/openapi.json",
    "/_stcore/upload_file/a/b", "/media/x.txt",
    "/component/x", "/static/js/index.js", "/favicon.png", "/download/letter.txt", "/logout",
    "//", "/login/", "/healthz/", "/%2e%2e/healthz", "/app/static/x",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_without_a_session_no_path_answers(served: Served, path: str) -> None:
    methods = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
    guess = {"cookie": f"collegium-{served.port}=guess"}
    with httpx2.Client(timeout=30, verify=NO_TLS) as http:
        for method, headers in product(methods, ({}, {"origin": served.url}, guess)):
            http.cookies.clear()
            answer = http.request(method, served.url + path, headers=headers)
            assert answer.status_code in (401, 403, 404, 405), (method, path)
            assert len(answer.content) < 100


def test_without_a_session_no_websocket_opens(browser: Browser) -> None:
    for token in ("", "guess", "x" * 5000):
        with pytest.raises(InvalidStatus), browser.open(token=token):
            pass


def test_a_person_logs_in_and_the_page_knows_them(browser: Browser) -> None:
    assert browser.log_in(ADA) == 303
    assert browser.http.get("/").status_code == 200
    with browser.open() as page:
        rerun(page)
        shown(page, r"VIEWER Dr\. Ada Admin .*administrator.* signs True")
        shown(page, "RUNS 0")
        shown(page, "ACTS True")
        assert browser.token not in shown(page, "HEADERS .*").group()


def test_whom_a_provider_names_looks_and_signs_nothing(
    served: Served, browser: Browser, provider: IdentityProvider
) -> None:
    provider.now = lambda: utc_now() + timedelta(seconds=served.day)
    begun = browser.http.get("/login/oidc?then=/runs", headers=browser.own)
    assert begun.status_code == 303 and begun.headers["location"].startswith(provider.issuer)
    said = provider.authorise(begun.headers["location"])
    from_there = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    back = browser.http.get("/login/oidc/callback", params=said, headers=from_there)
    assert back.status_code == 200 and 'content="0;url=/runs"' in back.text
    with browser.open() as page:
        rerun(page)
        shown(page, r"VIEWER Dan Scientist .*data-scientist.* signs False")
        shown(page, "NO ACTS")
    refused = browser.http.get("/download/letter.txt")
    assert refused.status_code == 403 and "log in with your account to sign" in refused.text
    assert browser.http.post("/logout", headers=browser.own).status_code == 303
    assert browser.http.get("/").status_code == 401


def test_a_data_scientist_sees_no_acts_of_people(browser: Browser) -> None:
    assert browser.log_in(DAN) == 303
    with browser.open() as page:
        rerun(page)
        shown(page, "RUNS 0")
        shown(page, r"NO ACTS Dan Scientist \(data-scientist\) may not look at audit")


def test_a_websocket_of_another_sites_page_is_refused(browser: Browser) -> None:
    browser.log_in(ADA)
    for origin in (
        "http://evil.example",
        "null",
        f"http://localhost.evil.example:{browser.served.port}",
    ):
        with pytest.raises(InvalidStatus), browser.open(origin=origin):
            pass


def test_the_cookie_is_worthless_after_the_logout_and_the_page_leaves(browser: Browser) -> None:
    browser.log_in(ADA)
    token = browser.token
    with browser.open() as page:
        rerun(page)
        shown(page, "RUNS 0")
        assert browser.http.post("/logout", headers=browser.own).status_code == 303
        assert left(page) == ("/login?told=logged-out", 4401)
    with pytest.raises(InvalidStatus), browser.open(token=token):
        pass
    answer = httpx2.get(
        f"{browser.served.url}/",
        headers={"cookie": f"collegium-{browser.served.port}={token}"},
        verify=NO_TLS,
    )
    assert answer.status_code == 401
    until = time.monotonic() + 10
    while (ADA, "logout", "done") not in acts(browser.served):
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_files_address_serves_only_who_was_shown_it(browser: Browser, served: Served) -> None:
    browser.log_in(ADA)
    with browser.open() as page:
        rerun(page)
        file = shown(page, r"/media/[0-9a-f]+\.txt").group()
        assert browser.http.get(file).content == b"secret of Dr. Ada Admin"
        other = Browser(served)
        with closing(other.http):
            assert other.log_in(DAN) == 303
            assert other.http.get(file).status_code == 404
        assert httpx2.get(served.url + file, verify=NO_TLS).status_code == 401


def test_a_header_without_end_ends_the_connection(served: Served) -> None:
    for head in (b"GET / HTTP/1.1\r\nA: ", b"GET /", b"A" * 9):
        with socket.create_connection(("127.0.0.1", served.port), 30) as line:
            line.sendall(head)
            with pytest.raises(ConnectionError):
                for _ in range(256):
                    line.sendall(b"x" * 65536)
    long = {"cookie": "a=" + "x" * 40_000}
    with pytest.raises(httpx2.TransportError):
        httpx2.get(f"{served.url}/healthz", headers=long, timeout=30, verify=NO_TLS)
    assert (
        httpx2.get(
            f"{served.url}/healthz", headers={"cookie": "a" * 9000}, timeout=30, verify=NO_TLS
        ).status_code
        == 200
    )


def test_a_download_is_an_act_and_needs_the_session(browser: Browser, served: Served) -> None:
    browser.log_in(BEA)
    before = acts(served).count((BEA, "report.export", "done"))
    answer = browser.http.get("/download/letter.txt?about=x")
    assert answer.content == b"for Dr. Bea Officer, about x"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert acts(served).count((BEA, "report.export", "done")) == before + 1
    assert browser.http.get("/download/none").status_code == 404
    elsewhere = {"sec-fetch-site": "cross-site"}
    assert browser.http.get("/download/letter.txt", headers=elsewhere).status_code == 403


def test_live_refreshes_are_no_activity_and_an_idle_page_leaves(browser: Browser) -> None:
    browser.log_in(CLEO)
    with browser.open() as page:
        rerun(page)
        shown(page, "RUNS 0")
        for _ in range(2):
            browser.served.move(steady=400)
            rerun(page, auto=True)
            shown(page, "RUNS 0")
        browser.served.move(steady=200)
        assert left(page) == ("/login?told=idle", 4401)


def test_what_a_person_does_is_activity_until_twelve_hours_are_over(browser: Browser) -> None:
    browser.log_in(CLEO)
    with browser.open() as page:
        rerun(page)
        for _ in range(3):
            browser.served.move(steady=600)
            rerun(page)
            shown(page, "RUNS 0")
        assert browser.http.get("/").status_code == 200
        browser.served.move(steady=12 * 3600 - 1800)
        url, code = left(page)
        assert code == 4401 and url in ("/login?told=too-old", "/login?told=idle")


def test_a_suspended_persons_open_page_is_closed(browser: Browser, served: Served) -> None:
    browser.log_in(DAN)
    with browser.open() as page:
        rerun(page)
        shown(page, "RUNS 0")
        people, clock = served.accounts.people, served.accounts.clock
        said = {"kind": "lost-key", "severity": "low"}
        asked = ActRequest(
            action="incident.open", subject_kind="incident", subject="x", details=said
        )
        number = perform(served.accounts.root, asked, people.key(BEA), clock=clock)["number"]
        asked = ActRequest(
            action="incident.contain",
            subject_kind="incident",
            subject=str(number),
            details={"note": "a laptop is gone", "suspend": (DAN,)},
        )
        perform(served.accounts.root, asked, people.key(BEA), clock=clock)
        began = time.monotonic()
        assert left(page) == ("/login?told=no-right", 4401)
        assert time.monotonic() - began < 10
    assert browser.http.get("/").status_code == 401
    assert browser.log_in(DAN, PASSWORD) == 403


def test_other_roles_reach_the_running_page(browser: Browser, served: Served) -> None:
    browser.log_in(CLEO)
    with browser.open() as page:
        rerun(page)
        shown(page, "ACTS True")
        people = served.accounts.people
        people.together(ADA, BEA, "person.roles", ("person", CLEO), roles=("data-scientist",))
        assert left(page) == ("", 1012)
    with browser.open() as page:
        rerun(page)
        shown(page, "NO ACTS")
