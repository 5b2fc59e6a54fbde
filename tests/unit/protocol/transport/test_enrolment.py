"""What crosses when a hospital joins: forms, signatures, and the one-time token."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.encoding import canonical
from protocol.errors import MessageRefused
from protocol.identity.consortium_root import coordinator_of
from protocol.identity.roster import SigningKey
from protocol.transport.enrolment import (
    CertificateReply,
    EnrolmentInvitation,
    change_key,
    parse,
    parse_enrolment_request,
    parse_key_change,
    parse_renewal_request,
    renewal_due,
    request_enrolment,
    request_renewal,
    to_bytes,
)
from tests.support.hospital.consortium_home import ConsortiumHome, csr, leaf

KEY = SigningKey.from_bytes(bytes([7]) * 32)
CSR = csr("lyon")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> ConsortiumHome:
    return ConsortiumHome(tmp_path_factory.mktemp("home") / "home")


def spoilt(data: bytes, field: str, value: object) -> bytes:
    """Returns canonical bytes with another value in one field."""
    return canonical(json.loads(data) | {field: value})


def test_records_survive_their_bytes(home: ConsortiumHome) -> None:
    invitation = home.invite("lyon")
    assert parse(EnrolmentInvitation, to_bytes(invitation)) == invitation
    request = request_enrolment(invitation, CSR, KEY)
    assert parse_enrolment_request(to_bytes(request)) == request
    renewal = request_renewal("lyon", CSR, KEY)
    assert parse_renewal_request(to_bytes(renewal), "lyon", KEY.public) == renewal


def test_token_is_256_random_bits_and_not_shown(home: ConsortiumHome) -> None:
    first, second = home.invite("lyon"), home.invite("lyon")
    assert len(first.token) == 32
    assert first.token != second.token
    request = request_enrolment(first, CSR, KEY)
    assert first.token.hex() not in repr(first) + repr(request)
    assert repr(first.token) not in repr(first) + repr(request)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("site", "Lyon", "site: expected text"),
        ("site", "coordinator", "no hospital may be called"),
        ("url", "http://example.org", "url: expected text"),
        ("root", "-----BEGIN CERTIFICATE-----", "root: expected text"),
        ("token", "00", "token: expected 64"),
        ("expires", "tomorrow", "expires: expected text"),
        ("more", 1, "expected exactly the fields"),
    ],
)
def test_damaged_invitation_is_refused(
    home: ConsortiumHome, field: str, value: object, said: str
) -> None:
    data = spoilt(to_bytes(home.invite("lyon")), field, value)
    with pytest.raises(MessageRefused, match=said):
        parse(EnrolmentInvitation, data)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("site", "oslo", "not valid for this key"),
        ("csr", csr("lyon"), "not valid for this key"),
        ("token", "00" * 32, "not valid for this key"),
        (
            "public_key",
            SigningKey.from_bytes(bytes([8]) * 32).public.hex(),
            "not valid for this key",
        ),
        ("csr", "x" * 9000, "csr: expected text"),
        ("site", "coordinator", "no hospital may be called"),
    ],
)
def test_request_is_signed_over_everything(
    home: ConsortiumHome, field: str, value: object, said: str
) -> None:
    request = to_bytes(request_enrolment(home.invite("lyon"), CSR, KEY))
    with pytest.raises(MessageRefused, match=said):
        parse_enrolment_request(spoilt(request, field, value))


def test_renewal_of_another_site_or_key_is_refused() -> None:
    data = to_bytes(request_renewal("lyon", CSR, KEY))
    with pytest.raises(MessageRefused, match="oslo asks for a certificate of lyon"):
        parse_renewal_request(data, "oslo", KEY.public)
    with pytest.raises(MessageRefused, match="not valid for this key"):
        parse_renewal_request(data, "lyon", SigningKey.generate().public)
    with pytest.raises(MessageRefused, match="not valid for this key"):
        parse_renewal_request(spoilt(data, "csr", csr("lyon")), "lyon", KEY.public)


def test_key_change_needs_both_keys() -> None:
    new = SigningKey.generate()
    data = to_bytes(change_key("lyon", KEY, new))
    assert parse_key_change(data, "lyon", KEY.public).after == new.public.hex()
    for signature in ("old_signature", "new_signature"):
        with pytest.raises(MessageRefused, match="not valid for this key"):
            parse_key_change(spoilt(data, signature, "00" * 64), "lyon", KEY.public)
    with pytest.raises(MessageRefused, match="announces a key of lyon"):
        parse_key_change(data, "oslo", KEY.public)
    with pytest.raises(MessageRefused, match="must announce another key"):
        parse_key_change(to_bytes(change_key("lyon", KEY, KEY)), "lyon", KEY.public)


def test_a_signature_for_one_purpose_is_worth_nothing_for_another() -> None:
    new = SigningKey.generate()
    change = change_key("lyon", KEY, new)
    other = replace(change, old_signature=request_renewal("lyon", CSR, KEY).signature)
    with pytest.raises(MessageRefused, match="not valid for this key"):
        parse_key_change(to_bytes(other), "lyon", KEY.public)


def test_renewal_is_due_at_two_thirds() -> None:
    begin = datetime(2000, 1, 1, tzinfo=UTC)
    end = begin + timedelta(days=6)
    assert not renewal_due(begin, end, begin + timedelta(days=4, seconds=-1))
    assert renewal_due(begin, end, begin + timedelta(days=4))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 2**32), byte=st.integers(1, 255))
def test_no_changed_byte_of_a_request_is_accepted(
    home: ConsortiumHome, place: int, byte: int
) -> None:
    data = bytearray(to_bytes(request_enrolment(home.invite("lyon"), CSR, KEY)))
    data[place % len(data)] ^= byte
    with pytest.raises(MessageRefused):
        home.members.enrol(bytes(data))


def test_invitation_names_the_coordinators_key_in_its_root(tmp_path: Path) -> None:
    home = ConsortiumHome(tmp_path / "home")
    invitation = home.invite("lyon")
    assert coordinator_of(invitation.root).key == home.workspace.public_key()
    reply = home.accept(invitation, KEY)
    assert reply.chain.count("BEGIN CERTIFICATE") == 2


SAME = "the invitation is unknown, used, expired or another site's: ask the coordinator"


def test_every_wrong_token_is_refused_with_one_message(tmp_path: Path) -> None:
    home = ConsortiumHome(tmp_path / "home")
    used, older, newer = home.invite("lyon"), home.invite("oslo"), home.invite("oslo")
    home.accept(used, KEY)
    late = home.invite("turin")
    revoked = home.invite("rome")
    home.members.revoke("rome", "a mistake")
    home.clock.move(hours=71)
    fresh = home.invite("porto")
    home.clock.move(hours=1)
    for invitation in (
        used,
        older,
        newer,
        late,
        revoked,
        replace(fresh, token=bytes(32)),
        replace(fresh, site="lyon"),
    ):
        with pytest.raises(MessageRefused, match=SAME):
            home.accept(invitation, SigningKey.generate())
    home.accept(fresh, SigningKey.generate())


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(site=st.sampled_from(["lyon", "oslo", "porto", "lyon.eu"]), asked=st.text(max_size=30))
def test_nobody_but_the_invited_site_gets_a_certificate_of_its_name(
    home: ConsortiumHome, site: str, asked: str
) -> None:
    invitation = home.invite("lyon")
    key, request = SigningKey.generate(), csr("".join(c for c in asked if c.isalnum()) or site)
    wanted = request_enrolment(replace(invitation, site=site), request, key)
    if site != "lyon":
        with pytest.raises(MessageRefused, match=SAME):
            home.members.enrol(to_bytes(wanted))
        return
    reply = parse(CertificateReply, home.members.enrol(to_bytes(wanted)))
    said = leaf(reply.chain).extensions[-2:]
    assert any("collegium://silo/lyon'" in str(extension) for extension in said)
    home.members.revoke("lyon", "the next example")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_token_serves_one_of_two_enrolments_at_once(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("postgres") if kind == "postgresql" else None
    home = ConsortiumHome(tmp_path / "home", database=server and server.new_database())
    invitation, start = home.invite("lyon"), Barrier(2)

    def enrol(_: int) -> str:
        asked = request_enrolment(invitation, csr("lyon"), SigningKey.generate())
        start.wait(10)
        try:
            home.members.enrol(to_bytes(asked))
        except MessageRefused as error:
            return str(error)
        return "enrolled"

    with ThreadPoolExecutor(2) as pool:
        said = sorted(pool.map(enrol, range(2)))
    assert said[0] == "enrolled"
    assert said[1].startswith(SAME)
    assert [status.state for status in home.members.listing()] == ["enrolled"]
    home.verify()
    home.store.close()


def test_a_refused_request_does_not_use_up_the_token(tmp_path: Path) -> None:
    home = ConsortiumHome(tmp_path / "home")
    invitation = home.invite("lyon")
    begin, *_, end = CSR.splitlines(keepends=True)
    bad = request_enrolment(invitation, f"{begin}MAMCAQA=\n{end}", KEY)
    with pytest.raises(MessageRefused, match="certificate request cannot be read"):
        home.members.enrol(to_bytes(bad))
    home.accept(invitation, KEY)
