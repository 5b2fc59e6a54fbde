"""The login at a provider: what counts, what does not, and what such a session may."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from compliance.governance.access.linked_identity import LinkedIdentity
from compliance.governance.acts import ActRequest
from coordinator.views.views import open_views
from dashboard.server import Listening, OidcSettings, read_oidc_settings
from dashboard.server.oidc import provider as provider_module
from dashboard.server.oidc.flow import SECONDS, LoginFlows
from dashboard.server.oidc.id_token import SKEW
from dashboard.server.oidc.provider import AGAIN_SECONDS, DOWN_SECONDS, KEPT_SECONDS, MOST_BYTES
from dashboard.server.oidc.settings import ALGORITHMS
from dashboard.server.own_pages import BEGIN, CALLBACK
from dashboard.texts import say
from protocol.errors import PolicyRefused, WorkspaceRefused
from tests.support.dashboard.asked import HOST, OWN, Answer, AskedServer, Seconds
from tests.support.dashboard.identity_provider import (
    CLIENT,
    SECRET,
    IdentityProvider,
    ec_key,
    providing,
    rsa_key,
)
from tests.support.hospital.accounts import DAN, Accounts
from tests.support.hospital.people import ADA, BEA

OVER, AWAY = say("login.identity-over").encode(), say("login.identity-away").encode()
NOT_COUNTED = b"What the provider says of this login does not count."


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> Accounts:
    made = Accounts(tmp_path_factory.mktemp("oidc") / "c")
    made.set(ADA)
    return made


@pytest.fixture(scope="module")
def serving(accounts: Accounts) -> Iterator[IdentityProvider]:
    with providing(accounts.clock) as served:
        accounts.link(DAN, LinkedIdentity(issuer=served.issuer, subject="d-1"))
        yield served


@pytest.fixture
def provider(serving: IdentityProvider) -> IdentityProvider:
    """The provider as it is when nothing is wrong; one serves all tests of this file."""
    fresh = IdentityProvider(now=serving.now)
    kept = {"issuer": serving.issuer}
    for name, value in (vars(fresh) | kept).items():
        setattr(serving, name, value)
    return serving


def settings_of(provider: IdentityProvider, **more: Any) -> OidcSettings:
    said = {"issuer": provider.issuer, "client_id": CLIENT, "client_secret_file": "x"}
    made = OidcSettings.model_validate(said | {"name": "the <hospital>"} | more)
    return made.model_copy(update={"client_secret": SECRET})


@pytest.fixture
def asked(accounts: Accounts, provider: IdentityProvider) -> AskedServer:
    return AskedServer(accounts, oidc=settings_of(provider))


def begin(asked: AskedServer, then: str = "/runs", token: str | None = None) -> Answer:
    return asked.ask(BEGIN, query=f"then={quote(then)}", token=token)


def come_back(asked: AskedServer, cookie: str | None, said: dict[str, str], **more: Any) -> Answer:
    headers = {"host": HOST, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    if cookie is not None:
        headers["cookie"] = f"{asked.listening.cookie}-oidc={cookie}"
    return asked.ask(CALLBACK, headers=headers, query=urlencode(said), **more)


def logged_in(asked: AskedServer, provider: IdentityProvider, **more: Any) -> Answer:
    begun = begin(asked)
    assert begun.status == 303, begun.body
    said = provider.authorise(begun.headers["location"])
    return come_back(asked, begun.cookies[f"{asked.listening.cookie}-oidc"], said, **more)


def test_a_login_at_the_provider_opens_what_the_persons_roles_may_see(
    asked: AskedServer, provider: IdentityProvider
) -> None:
    done = logged_in(asked, provider)
    assert done.status == 200 and b'content="0;url=/runs"' in done.body
    assert done.cookies[f"{asked.listening.cookie}-oidc"] == '""'
    token = done.cookies[asked.listening.cookie]
    assert asked.ask("/", token=token).status == 200
    assert asked.server.sessions is not None
    viewer = asked.server.viewer(asked.server.sessions.find(token))
    assert viewer.name == DAN and not viewer.signs and not viewer.may("run.note")
    with closing(open_views(asked.accounts.root)) as views:
        assert viewer.guard(views).runs() == ()
        with pytest.raises(PolicyRefused, match="may not look at audit"):
            viewer.guard(views).acts()
    asked_for = ActRequest(action="run.note", subject_kind="run", subject="r")
    for refused in (lambda: viewer.perform(asked_for), lambda: viewer.sign_report(b"%PDF")):
        with pytest.raises(PolicyRefused, match="log in with your account to sign"):
            refused()
    assert asked.ask("/logout", "POST", token=token).status == 303
    assert asked.ask("/", token=token).status == 401
    with pytest.raises(PolicyRefused, match="the session has ended"):
        viewer.perform(asked_for)


def test_the_login_page_offers_it_where_it_is_set(asked: AskedServer, accounts: Accounts) -> None:
    page = asked.ask("/login", query="then=/runs").body
    assert f'<a href="{BEGIN}?then=/runs"'.encode() in page and b"the &lt;hospital&gt;" in page
    without = AskedServer(accounts)
    assert BEGIN.encode() not in without.ask("/login").body
    assert without.ask(BEGIN).status == without.ask(CALLBACK).status == 404


def test_what_is_asked_of_the_provider_is_of_this_login_alone(
    asked: AskedServer, provider: IdentityProvider
) -> None:
    first, second = begin(asked), begin(asked)
    one, two = (parse_qs(urlsplit(a.headers["location"]).query) for a in (first, second))
    for name in ("state", "nonce", "code_challenge"):
        assert len(one[name][0]) >= 43 and one[name] != two[name]
    assert one["redirect_uri"] == [f"http://{HOST}{CALLBACK}"]
    said = first.headers["set-cookie"].lower()
    assert "httponly" in said and "samesite=lax" in said and f"max-age={SECONDS:.0f}" in said
    assert "code_verifier" not in one and one["redirect_uri"] == [f"http://{HOST}{CALLBACK}"]
    for secret in (one["state"][0], one["nonce"][0]):
        assert secret not in first.headers["set-cookie"]
    assert first.headers["content-security-policy"].startswith("default-src 'none'")


def test_another_state_another_browser_or_a_second_time_is_refused(
    asked: AskedServer, provider: IdentityProvider
) -> None:
    mine, others = begin(asked), begin(asked)
    name = f"{asked.listening.cookie}-oidc"
    said = provider.authorise(mine.headers["location"])
    for cookie, brought in (
        (None, said), ("", said), ("x" * 80, said), (mine.cookies[name] + "A", said),
        (others.cookies[name], said), (mine.cookies[name], said | {"state": "x"}),
        (mine.cookies[name], {"code": said["code"]}), (mine.cookies[name], {}),
    ):  # fmt: skip
        answer = come_back(asked, cookie, brought)
        assert (answer.status, answer.cookies) == (400, {}) and OVER in answer.body
    assert "/token" not in provider.asked
    assert come_back(asked, mine.cookies[name], said).status == 200
    again = come_back(asked, mine.cookies[name], said)
    assert again.status == 400 and asked.listening.cookie not in again.cookies


def test_two_logins_of_two_browsers_do_not_mix(
    asked: AskedServer, provider: IdentityProvider
) -> None:
    name = f"{asked.listening.cookie}-oidc"
    mine, others = begin(asked), begin(asked)
    stolen = provider.authorise(others.headers["location"])
    own = provider.authorise(mine.headers["location"])
    answer = come_back(asked, mine.cookies[name], own | {"code": stolen["code"]})
    assert answer.status == 403 and NOT_COUNTED in answer.body  # the verifier is another


def test_a_state_twice_in_the_address_is_refused(
    asked: AskedServer, provider: IdentityProvider
) -> None:
    begun = begin(asked)
    said = urlencode(provider.authorise(begun.headers["location"]))
    headers = {
        "host": HOST,
        "cookie": f"{asked.listening.cookie}-oidc={begun.cookies.popitem()[1]}",
    }
    assert asked.ask(CALLBACK, headers=headers, query=f"{said}&{said}").status == 400


def test_a_login_that_takes_too_long_is_over(
    asked: AskedServer, provider: IdentityProvider
) -> None:
    begun = begin(asked)
    said = provider.authorise(begun.headers["location"])
    asked.seconds.now += SECONDS
    answer = come_back(asked, begun.cookies.popitem()[1], said)
    assert answer.status == 400 and OVER in answer.body


@pytest.mark.parametrize(
    ("claims", "header", "key"),
    [
        ({"nonce": "another"}, {}, None),
        ({"nonce": None}, {}, None),
        ({"nonce": 1}, {}, None),
        ({"iss": "https://id.example.org"}, {}, None),
        ({"iss": None}, {}, None),
        ({"aud": "another"}, {}, None),
        ({"aud": ["another"]}, {}, None),
        ({"aud": [CLIENT, "another"]}, {}, None),
        ({"aud": [CLIENT, "another"], "azp": "another"}, {}, None),
        ({"aud": []}, {}, None),
        ({"azp": "another"}, {}, None),
        ({"exp": 1}, {}, None),
        ({"exp": None}, {}, None),
        ({"exp": "soon"}, {}, None),
        ({"iat": None}, {}, None),
        ({"iat": 1e11}, {}, None),
        ({"nbf": 1e11}, {}, None),
        ({"sub": None}, {}, None),
        ({"sub": ""}, {}, None),
        ({"sub": "x" * 256}, {}, None),
        ({"sub": ["d-1"]}, {}, None),
        ({}, {"alg": "none"}, None),
        ({}, {"alg": "HS256"}, None),
        ({}, {"kid": "unknown"}, None),
        ({}, {}, lambda: rsa_key("one, of another")),
        ({}, {"kid": "one"}, lambda: rsa_key("one, of another")),
        ({}, {"alg": "ES256"}, lambda: ec_key("unpublished")),
        ({}, {"crit": ["b64"], "b64": False}, None),
        ({"pad": "x" * 20_000}, {}, None),
    ],
)
def test_a_token_that_does_not_count_logs_nobody_in(
    asked: AskedServer,
    provider: IdentityProvider,
    claims: dict[str, Any],
    header: dict[str, Any],
    key: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider.claims, provider.header = claims, header
    provider.key = key() if key else None
    answer = logged_in(asked, provider)
    assert answer.status == 403 and asked.listening.cookie not in answer.cookies
    assert NOT_COUNTED in answer.body
    assert any(word in caplog.text for word in ("identity token", "a subject has"))


@pytest.mark.parametrize(
    ("claims", "key", "algorithm"),
    [
        ({"aud": [CLIENT]}, None, "RS256"),
        ({"aud": [CLIENT, "another"], "azp": CLIENT}, None, "RS256"),
        ({}, None, "PS256"),
        ({}, lambda: ec_key("two"), "ES256"),
    ],
)
def test_what_counts(
    asked: AskedServer, provider: IdentityProvider, claims: dict[str, Any], key: Any, algorithm: str
) -> None:
    provider.keys = [rsa_key("one"), ec_key("two")]
    provider.claims, provider.header = claims, {"alg": algorithm}
    provider.key = key() if key else None
    assert logged_in(asked, provider).status == 200


def test_a_clock_may_differ_by_a_minute(asked: AskedServer, provider: IdentityProvider) -> None:
    now = int(provider.now().timestamp())
    provider.claims = {"exp": now - SKEW + 5, "iat": now + SKEW - 5}
    assert logged_in(asked, provider).status == 200
    provider.claims = {"exp": now - SKEW - 5}
    assert logged_in(asked, provider).status == 403


def test_a_signature_that_the_settings_leave_out_does_not_count(
    accounts: Accounts, provider: IdentityProvider
) -> None:
    asked = AskedServer(accounts, oidc=settings_of(provider, algorithms=["ES256"]))
    assert logged_in(asked, provider).status == 403
    assert not [one for one in ALGORITHMS if one.startswith(("HS", "none"))]


def test_a_short_key_does_not_count(asked: AskedServer, provider: IdentityProvider) -> None:
    with pytest.warns(Warning, match="2048"):
        provider.key = rsa_key("short", 1024)
    provider.keys = [provider.key]
    with pytest.warns(Warning, match="2048"):
        assert logged_in(asked, provider).status == 403


@pytest.mark.parametrize(("ago", "status"), [(100, 200), (400, 403), (None, 403), (-400, 403)])
def test_how_long_ago_the_person_was_asked_may_be_bounded(
    accounts: Accounts, provider: IdentityProvider, ago: int | None, status: int
) -> None:
    asked = AskedServer(accounts, oidc=settings_of(provider, max_age=300))
    now = int(provider.now().timestamp())
    provider.claims = {"auth_time": None if ago is None else now - ago}
    assert "max_age=300" in begin(asked).headers["location"]
    assert logged_in(asked, provider).status == status


def test_whom_nobody_linked_is_told_what_to_link(
    asked: AskedServer, provider: IdentityProvider
) -> None:
    provider.subject = "somebody-else"
    provider.claims = {"email": "dan@example.org", "email_verified": True, "name": DAN}
    answer = logged_in(asked, provider)
    assert answer.status == 403 and asked.listening.cookie not in answer.cookies
    assert b"somebody-else" in answer.body and b"account link" in answer.body


def test_a_provider_that_refuses_logs_nobody_in(
    asked: AskedServer, provider: IdentityProvider
) -> None:
    begun = begin(asked)
    state = provider.authorise(begun.headers["location"])["state"]
    answer = come_back(asked, begun.cookies.popitem()[1], {"state": state, "error": "<b>"})
    assert answer.status == 403 and b"<b>" not in answer.body and "/token" not in provider.asked


@pytest.mark.parametrize(
    ("iss", "supported", "status"),
    [(None, False, 200), (None, True, 403), ("https://evil.example", False, 403)],
)
def test_the_answer_names_its_provider(
    asked: AskedServer,
    provider: IdentityProvider,
    iss: str | None,
    supported: bool,
    status: int,
) -> None:
    provider.published = {"authorization_response_iss_parameter_supported": supported}
    begun = begin(asked)
    more = {} if iss is None else {"iss": iss}
    said = provider.authorise(begun.headers["location"], **more)
    assert come_back(asked, begun.cookies.popitem()[1], said).status == status


@pytest.mark.parametrize(
    "published",
    [
        {"issuer": "https://another.example"},
        {"token_endpoint": "http://id.example.org/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": None},
        {"code_challenge_methods_supported": ["plain"]},
        {"pad": "x" * MOST_BYTES},
    ],
)
def test_a_provider_that_publishes_something_else_is_told_as_away(
    asked: AskedServer, provider: IdentityProvider, published: dict[str, Any]
) -> None:
    provider.published = published
    answer = begin(asked)
    assert answer.status == 503 and AWAY in answer.body


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": 500}, {"status": 302}, {"answer": b"no json"}, {"answer": b"[]"},
        {"pause": 4.0},
    ],
)  # fmt: skip
def test_while_the_provider_is_away_accounts_still_log_in(
    accounts: Accounts,
    provider: IdentityProvider,
    wrong: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(provider_module.OidcProvider.__init__, "__defaults__", (2.0,))
    asked = AskedServer(accounts, oidc=settings_of(provider))
    for name, value in wrong.items():
        setattr(provider, name, value)
    answer = begin(asked)
    assert answer.status == 503 and AWAY in answer.body and b'name="password"' in answer.body
    looks = len(provider.asked)
    assert begin(asked).status == 503 and len(provider.asked) == looks  # not asked again at once
    assert asked.log_in(ADA).status == 303
    provider.status, provider.answer, provider.pause = 200, None, 0.0
    asked.seconds.now += DOWN_SECONDS
    assert begin(asked).status == 303


def test_nobody_listens_at_the_issuer(accounts: Accounts) -> None:
    with providing(accounts.clock) as gone:
        oidc = settings_of(gone)
    asked = AskedServer(accounts, oidc=oidc)
    assert begin(asked).status == 503
    assert asked.log_in(ADA).status == 303


def test_what_is_published_is_kept_and_a_new_key_is_asked_for(
    asked: AskedServer, provider: IdentityProvider
) -> None:
    for _ in range(3):
        assert logged_in(asked, provider).status == 200
    assert sorted(set(provider.asked)) == ["/.well-known/openid-configuration", "/keys", "/token"]
    assert provider.asked.count("/keys") == 1 and len(provider.asked) == 5
    provider.key = rsa_key("two")
    provider.keys = [rsa_key("two")]
    assert logged_in(asked, provider).status == 403  # asked for a moment ago
    asked.seconds.now += AGAIN_SECONDS
    assert logged_in(asked, provider).status == 200
    assert provider.asked.count("/keys") == 2
    asked.seconds.now += KEPT_SECONDS
    assert logged_in(asked, provider).status == 200
    assert provider.asked.count("/keys") == 3


def test_a_secret_in_the_form_where_the_provider_wants_it_there(
    asked: AskedServer, provider: IdentityProvider
) -> None:
    provider.published = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert logged_in(asked, provider).status == 200


@pytest.mark.parametrize("then", ["//evil.example", "https://evil.example", "/\\evil", "/login"])
def test_it_leads_to_no_other_server(
    asked: AskedServer, provider: IdentityProvider, then: str
) -> None:
    begun = begin(asked, then)
    said = provider.authorise(begun.headers["location"])
    done = come_back(asked, begun.cookies.popitem()[1], said)
    assert b'content="0;url=/"' in done.body


def test_another_sites_link_begins_nothing(asked: AskedServer, provider: IdentityProvider) -> None:
    headers = {"host": HOST, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    answer = asked.ask(BEGIN, headers=headers, query="then=/runs")
    assert (answer.status, answer.headers["location"]) == (303, "/login?then=/runs")
    assert not answer.cookies and not provider.asked
    headers = {"host": "localhost:8501"}
    answer = asked.ask(BEGIN, headers=headers)
    assert answer.headers["location"] == f"http://{HOST}{BEGIN}?then=/"


def test_the_session_that_the_browser_had_ends(
    asked: AskedServer, provider: IdentityProvider
) -> None:
    before = asked.log_in(ADA).token
    begun = begin(asked, token=before)
    said = provider.authorise(begun.headers["location"])
    assert come_back(asked, begun.cookies.popitem()[1], said).status == 200
    assert asked.ask("/", token=before).status == 401


def test_who_fails_from_one_address_waits(asked: AskedServer, provider: IdentityProvider) -> None:
    provider.claims = {"nonce": "x"}
    statuses = [logged_in(asked, provider, client="10.0.0.9").status for _ in range(7)]
    assert statuses == [403] * 5 + [429] * 2
    provider.claims = {}
    assert logged_in(asked, provider, client="10.0.0.8").status == 200


def test_a_person_whose_rights_end_loses_the_session(
    tmp_path: Path, provider: IdentityProvider
) -> None:
    accounts = Accounts(tmp_path / "c")
    accounts.link(DAN, LinkedIdentity(issuer=provider.issuer, subject="d-1"))
    provider.now = accounts.clock
    asked = AskedServer(accounts, oidc=settings_of(provider))
    token = logged_in(asked, provider).cookies[asked.listening.cookie]
    accounts.people.together(ADA, BEA, "person.retire", ("person", DAN))
    asked.server._look()
    assert asked.ask("/", token=token).status == 401
    assert logged_in(asked, provider).status == 403


def test_the_end_of_a_link_ends_what_it_opened(tmp_path: Path, provider: IdentityProvider) -> None:
    accounts = Accounts(tmp_path / "c")
    accounts.link(DAN, LinkedIdentity(issuer=provider.issuer, subject="d-1"))
    provider.now = accounts.clock
    asked = AskedServer(accounts, oidc=settings_of(provider))
    token = logged_in(asked, provider).cookies[asked.listening.cookie]
    assert asked.server.sessions is not None
    viewer = asked.server.viewer(asked.server.sessions.find(token))
    accounts.people.act(DAN, "account.unlink", ("person", DAN))
    with closing(open_views(accounts.root)) as views:
        with pytest.raises(PolicyRefused, match="the link to this identity has ended"):
            viewer.guard(views).runs()
    asked.server._look()
    assert asked.ask("/", token=token).status == 401


def test_outside_the_cookie_is_for_tls_and_this_host(
    accounts: Accounts, provider: IdentityProvider
) -> None:
    listening = Listening(behind_proxy=True, url="https://d.example.org")
    asked = AskedServer(accounts, listening, oidc=settings_of(provider))
    headers = {"host": "d.example.org", "origin": "https://d.example.org"}
    answer = asked.ask(BEGIN, headers=headers)
    said = answer.headers["set-cookie"]
    assert said.startswith("__Host-collegium-oidc=") and "Secure" in said and "Path=/" in said
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["redirect_uri"] == [f"https://d.example.org{CALLBACK}"]


def test_without_a_login_there_is_none_at_a_provider(
    accounts: Accounts, provider: IdentityProvider
) -> None:
    with pytest.raises(PolicyRefused, match="where people log in"):
        AskedServer(accounts, login=False, oidc=settings_of(provider))


def test_a_path_that_is_too_long_for_a_cookie_is_left_out() -> None:
    flows = LoginFlows(Seconds())
    login, cookie = flows.begin("/" + "ä" * 500, "")
    assert login.then == "/" and len(cookie) < 3500
    assert flows.end(cookie, login.state) == login
    assert OWN["host"] == HOST


def settings_file(folder: Path, text: str, secret: str = SECRET, mode: int = 0o600) -> Path:
    (folder / "secret").write_text(secret + "\n")
    (folder / "secret").chmod(mode)
    (folder / "dashboard.toml").write_text(text)
    return folder / "dashboard.toml"


GOOD = 'issuer = "https://id.example.org/a"\nclient_id = "c"\nclient_secret_file = "secret"\n'


def test_settings_are_a_file_and_the_secret_another(tmp_path: Path) -> None:
    read = read_oidc_settings(settings_file(tmp_path, GOOD + 'max_age = 3600\nname = "St. X"\n'))
    assert (read.client_secret, read.max_age, read.name) == (SECRET, 3600, "St. X")
    assert SECRET not in repr(read) and SECRET not in read.model_dump_json()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD.replace("https", "http"), "is no issuer"),
        (GOOD + 'algorithms = ["HS256"]', "HS256"),
        (GOOD + 'algorithms = ["none"]', "none"),
        (GOOD + "algorithms = []", "algorithms"),
        (GOOD + "max_age = 1", "max_age"),
        (GOOD + 'client_secret = "x"', "holds no secret"),
        (GOOD + 'scope = "x"', "scope"),
        ("issuer", "cannot be read"),
        ('issuer = "https://a.example"', "client_id"),
        (GOOD.replace('"secret"', '"missing"'), "missing cannot be read"),
    ],
)
def test_settings_of_another_form_are_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(WorkspaceRefused, match=told):
        read_oidc_settings(settings_file(tmp_path, text))


def test_a_secret_that_others_can_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceRefused, match="chmod 600"):
        read_oidc_settings(settings_file(tmp_path, GOOD, mode=0o640))
    for secret in ("", "x" * 2000, "a\nb"):
        with pytest.raises(WorkspaceRefused, match="holds no client secret"):
            read_oidc_settings(settings_file(tmp_path, GOOD, secret))
    with pytest.raises(WorkspaceRefused, match="cannot be read"):
        read_oidc_settings(tmp_path / "none.toml")
