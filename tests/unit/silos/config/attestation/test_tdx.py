"""TDX quotes: genuine ones are accepted, and nothing else is."""

import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from protocol.errors import FederationError, MessageRefused, PolicyRefused
from protocol.identity.machine_evidence import MachineEvidence
from silos.config.attestation import tdx
from silos.config.attestation.tdx import SIGNED_BYTES, Tdx, read_quote
from tests import ROOT
from tests.support.hospital.tee import (
    BEGIN,
    CHALLENGE,
    END,
    IMAGE,
    MEMBER,
    NOW,
    TDX_TCB,
    TdxMachine,
    pinned,
    sgx_root,
)

SAMPLES = ROOT / "tests" / "vectors" / "attestation"
QUOTES = {name: (SAMPLES / name).read_bytes() for name in ("tdx.dat", "tdx_cos.dat")}
both = pytest.mark.parametrize("name", QUOTES)


def allowing(quote: bytes) -> Tdx:
    """A policy for the machine that made a quote."""
    read = read_quote(quote)
    return Tdx(
        measurements=frozenset({read.measurement.hex()}),
        least_tcb=read.tcb,
        registers={number: frozenset({read.register(number).hex()}) for number in range(4)},
    )


def shown(quote: bytes) -> MachineEvidence:
    return MachineEvidence(kind="tdx", report=quote)


def bind(monkeypatch: pytest.MonkeyPatch, name: str) -> bytes:
    """Lets the 64 bytes of a sample be the ones that are asked for."""
    quote = QUOTES[name]
    bound = read_quote(quote).data
    monkeypatch.setattr(tdx, "report_data", lambda _member, _challenge: bound)
    return quote


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@both
def test_genuine_quote_is_accepted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    quote = bind(monkeypatch, name)
    allowing(quote)(MEMBER, shown(quote), CHALLENGE, NOW)


@both
def test_genuine_quote_about_anything_else_is_refused(name: str) -> None:
    quote = QUOTES[name]
    with pytest.raises(PolicyRefused, match="not about lyon and its key in this run"):
        allowing(quote)(MEMBER, shown(quote), CHALLENGE, NOW)


@both
def test_genuine_quote_is_refused_with_any_signed_byte_changed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote = bind(monkeypatch, name)
    verify = allowing(quote)
    # Header and report; length; signature and key; the quoting enclave's report, signature, data.
    places = [*range(SIGNED_BYTES + 4 + 134 + 384 + 64 + 2 + 32)]
    assert SIGNED_BYTES == 632
    for place in places:
        with pytest.raises((MessageRefused, PolicyRefused)):
            verify(MEMBER, shown(flipped(quote, place)), CHALLENGE, NOW)


@both
@pytest.mark.parametrize("which", range(3))
def test_genuine_quote_is_refused_with_a_changed_certificate(
    name: str, which: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote = bind(monkeypatch, name)
    verify, pem = allowing(quote), read_quote(quote).chain.rstrip(b"\0")
    certificate = x509.load_pem_x509_certificates(pem)[which]
    before, signed = certificate.public_bytes(Encoding.PEM), certificate.tbs_certificate_bytes
    assert quote.count(before) == 1
    der = certificate.public_bytes(Encoding.DER)
    for place in range(der.index(signed), der.index(signed) + len(signed), 5):
        after = ssl.DER_cert_to_PEM_cert(flipped(der, place)).encode()
        assert len(after) == len(before)
        with pytest.raises((MessageRefused, PolicyRefused)):
            verify(MEMBER, shown(quote.replace(before, after)), CHALLENGE, NOW)


@both
def test_genuine_quote_is_refused_when_it_is_cut_short(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote = bind(monkeypatch, name)
    verify = allowing(quote)
    for size in range(0, quote.rindex(b"-----END"), 101):
        with pytest.raises((MessageRefused, PolicyRefused)):
            verify(MEMBER, shown(quote[:size]), CHALLENGE, NOW)


@both
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"roots": frozenset({"00" * 32})}, "the root is not one that the policy trusts"),
        ({"measurements": frozenset({"00" * 48})}, "another firmware was started"),
        ({"least_tcb": b"\xff" * 16}, "module or processor is older than allowed"),
        ({"least_tcb": bytes(15) + b"\x01"}, "module or processor is older than allowed"),
        ({"registers": {3: frozenset({"ff" * 48})}}, "run-time register 3 holds"),
    ],
)
def test_genuine_quote_is_refused_by_another_policy(
    name: str, change: dict[str, object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote = bind(monkeypatch, name)
    with pytest.raises((MessageRefused, PolicyRefused), match=said):
        replace(allowing(quote), **change)(MEMBER, shown(quote), CHALLENGE, NOW)  # type: ignore[arg-type]


@both
@pytest.mark.parametrize("year", [2010, 2040, 2051])
def test_genuine_quote_is_refused_when_its_certificates_are_not_valid(
    name: str, year: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    quote = bind(monkeypatch, name)
    with pytest.raises(MessageRefused, match="not valid at this time"):
        allowing(quote)(MEMBER, shown(quote), CHALLENGE, datetime(year, 1, 1, tzinfo=UTC))


# --- a processor of the tests' own: what lies behind the signatures ---

OURS = Tdx(
    measurements=frozenset({IMAGE.hex()}),
    least_tcb=TDX_TCB,
    registers={1: frozenset({"01" * 48})},
    roots=pinned(sgx_root()),
)


def test_evidence_over_member_key_and_run_is_accepted() -> None:
    for machine in (
        TdxMachine(),
        TdxMachine(padding=b"what follows is ignored"),
        TdxMachine(qe_attributes=0x11),
    ):
        OURS(MEMBER, machine.evidence(), CHALLENGE, NOW)


@pytest.mark.parametrize(
    ("member", "challenge"),
    [
        (replace(MEMBER, site="oslo"), CHALLENGE),
        (replace(MEMBER, public_key="ac" * 32), CHALLENGE),
        (MEMBER, "ce" * 32),
    ],
    ids=["another member", "another key", "another run"],
)
def test_evidence_about_another_member_key_or_run_is_refused(member, challenge) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(PolicyRefused, match="is not about .* and its key in this run"):
        OURS(member, TdxMachine().evidence(), challenge, NOW)


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (TdxMachine(attributes=1), "the trust domain may be debugged"),
        (TdxMachine(module=b"\x01" + bytes(55)), "the TDX module is not Intel's own"),
        (TdxMachine(module=bytes(55) + b"\x01"), "the TDX module is not Intel's own"),
        (TdxMachine(tcb=bytes([9, 9, 3, *[9] * 13])), "older than allowed"),
        (TdxMachine(measurement=bytes(48)), "another firmware was started"),
        (TdxMachine(registers=(bytes(48),) * 4), "run-time register 1 holds"),
        (TdxMachine(header=bytes.fromhex("0500020081000000")), "not version 4"),
        (TdxMachine(header=bytes.fromhex("0400030081000000")), "not version 4"),
        (TdxMachine(header=bytes.fromhex("0400020000000000")), "not version 4"),
        (TdxMachine(vendor=bytes(16)), "another vendor's quoting enclave"),
        (TdxMachine(qe_signer=bytes(32)), "not Intel's"),
        (TdxMachine(qe_product=1), "not Intel's"),
        (TdxMachine(qe_version=3), "version 3 is too old"),
        (TdxMachine(qe_attributes=0x17), "it may be debugged"),
        (TdxMachine(qe_attributes=0x05), "it may be debugged, or is of another kind"),
        (TdxMachine(qe_misc=1), "it may be debugged, or is of another kind"),
        (TdxMachine(qe_vouches=bytes(31) + b"\x01"), "it vouches for another key"),
        (TdxMachine(authority=False), "no authority|not readable"),
        (TdxMachine(valid=(BEGIN - timedelta(days=9), BEGIN)), "not valid at this time"),
        (TdxMachine(valid=(END, END + timedelta(days=9))), "not valid at this time"),
        (TdxMachine(auth=bytes(1025)), "a part has 1025 bytes, at most 1024"),
    ],
)
def test_signed_evidence_of_a_machine_that_is_not_as_it_should_be_is_refused(
    machine: TdxMachine, said: str
) -> None:
    with pytest.raises((MessageRefused, PolicyRefused), match=said):
        OURS(MEMBER, machine.evidence(), CHALLENGE, NOW)


def test_a_quote_brings_its_own_certificates() -> None:
    with pytest.raises(MessageRefused, match="brings its own certificates"):
        OURS(MEMBER, replace(TdxMachine().evidence(), certificates=(b"x",)), CHALLENGE, NOW)


def test_a_quote_under_the_tests_root_is_refused_by_a_policy_that_trusts_intel() -> None:
    genuine = allowing(QUOTES["tdx.dat"])
    with pytest.raises(FederationError, match="the root is not one that the policy trusts"):
        genuine(MEMBER, TdxMachine().evidence(), CHALLENGE, NOW)


def test_what_a_quote_says_is_shown() -> None:
    said = dict(tdx.facts(QUOTES["tdx_cos.dat"]))
    assert said["measurement"].startswith("dae67181d3d65e07")
    assert said["register 0"].startswith("3fa2f61f")
    assert (said["tcb"], said["debug"]) == ("04010700" + "00" * 12, "not allowed")
