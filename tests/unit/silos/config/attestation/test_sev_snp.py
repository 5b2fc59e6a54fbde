"""SEV-SNP reports: genuine ones are accepted, and nothing else is."""

import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.utils import CryptographyDeprecationWarning

from protocol.errors import FederationError, MessageRefused, PolicyRefused
from protocol.identity.machine_evidence import MachineEvidence
from silos.config.attestation import sev_snp
from silos.config.attestation.certificates import read_certificate
from silos.config.attestation.sev_snp import SIGNED_BYTES, SevSnp, Tcb, read_report
from tests import ROOT
from tests.support.hospital.tee import (
    BEGIN,
    CHALLENGE,
    END,
    IMAGE,
    MEMBER,
    NOW,
    Snp,
    ark_certificate,
    der,
    pinned,
)

SAMPLES = ROOT / "tests" / "vectors" / "attestation"
REPORT = bytes.fromhex((SAMPLES / "report_milan.hex").read_text())
CHAIN = tuple(
    x509.load_pem_x509_certificate((SAMPLES / name).read_bytes()).public_bytes(Encoding.DER)
    for name in ("ask.pem", "ark.pem")
)
GENUINE = MachineEvidence(
    kind="sev-snp",
    report=REPORT,
    certificates=((SAMPLES / "vcek_milan.der").read_bytes(), *CHAIN),
)
#: What the sample was made for is its maker's; ours is exchanged for it where that is allowed.
BOUND = REPORT[0x50:0x90]
ALLOWED = SevSnp(measurements=frozenset({REPORT[0x90:0xC0].hex()}), least_tcb=Tcb(3, 0, 8, 115))


@pytest.fixture
def bound_to_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the sample binds is somebody else's 64 bytes: let them be the ones asked for."""
    monkeypatch.setattr(sev_snp, "report_data", lambda _member, _challenge: BOUND)


def refused(verify: SevSnp, evidence: MachineEvidence, now: datetime = NOW) -> str:
    with pytest.raises(FederationError) as caught:
        verify(MEMBER, evidence, CHALLENGE, now)
    assert type(caught.value) in (MessageRefused, PolicyRefused)
    return str(caught.value)


def flipped(report: bytes, place: int) -> bytes:
    return report[:place] + bytes([report[place] ^ 1]) + report[place + 1 :]


@pytest.mark.usefixtures("bound_to_the_sample")
def test_genuine_report_is_accepted() -> None:
    ALLOWED(MEMBER, GENUINE, CHALLENGE, NOW)


def test_genuine_report_about_anything_else_is_refused() -> None:
    assert "not about lyon and its key in this run" in refused(ALLOWED, GENUINE)


@pytest.mark.usefixtures("bound_to_the_sample")
def test_genuine_report_is_refused_with_any_byte_of_it_changed() -> None:
    for place in range(len(REPORT)):
        spoilt = replace(GENUINE, report=flipped(REPORT, place))
        with pytest.raises((MessageRefused, PolicyRefused)):
            ALLOWED(MEMBER, spoilt, CHALLENGE, NOW)
    assert SIGNED_BYTES == 672 < len(REPORT)


@pytest.mark.usefixtures("bound_to_the_sample")
@pytest.mark.parametrize("which", range(3))
def test_genuine_report_is_refused_with_a_changed_certificate(which: int) -> None:
    chain = list(GENUINE.certificates)
    signed = read_certificate(chain[which]).tbs_certificate_bytes
    begin = chain[which].index(signed)
    for place in range(begin, begin + len(signed), 5):
        spoilt = [*chain[:which], flipped(chain[which], place), *chain[which + 1 :]]
        with pytest.raises((MessageRefused, PolicyRefused)):
            ALLOWED(MEMBER, replace(GENUINE, certificates=tuple(spoilt)), CHALLENGE, NOW)


@pytest.mark.usefixtures("bound_to_the_sample")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"roots": frozenset({"00" * 32})}, "the root is not one that the policy trusts"),
        ({"measurements": frozenset({"00" * 48})}, "another image was started"),
        ({"least_tcb": Tcb(4, 0, 8, 115)}, "the firmware is older than allowed: boot loader 3"),
        ({"least_tcb": Tcb(3, 0, 8, 116)}, "microcode 116"),
    ],
)
def test_genuine_report_is_refused_by_another_policy(change: dict[str, object], said: str) -> None:
    assert said in refused(replace(ALLOWED, **change), GENUINE)  # type: ignore[arg-type]


@pytest.mark.usefixtures("bound_to_the_sample")
@pytest.mark.parametrize("year", [2022, 2031, 2046])
def test_genuine_report_is_refused_when_its_certificates_are_not_valid(year: int) -> None:
    draw = datetime(year, 1, 1, tzinfo=UTC)
    assert "not valid at this time" in refused(ALLOWED, GENUINE, draw)


def test_a_serial_number_of_zero_is_read_without_a_warning_and_other_warnings_are_shown() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        read_certificate(GENUINE.certificates[0])
        warnings.warn("another", CryptographyDeprecationWarning, stacklevel=1)
    assert [str(warning.message) for warning in seen] == ["another"]


# --- a processor of the tests' own: what lies behind the signature ---

OURS = SevSnp(
    measurements=frozenset({IMAGE.hex()}),
    least_tcb=Tcb(3, 0, 8, 100),
    roots=pinned(ark_certificate()),
)


def test_evidence_over_member_key_and_run_is_accepted() -> None:
    OURS(MEMBER, Snp().evidence(), CHALLENGE, NOW)
    OURS(MEMBER, Snp(chip_named=b"\x04\x40" + Snp().chip).evidence(), CHALLENGE, NOW)
    for version in (3, 5):
        OURS(MEMBER, Snp(version=version).evidence(), CHALLENGE, NOW)


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
        OURS(member, Snp().evidence(), challenge, NOW)


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (Snp(policy=0x30000 | 1 << 19), "the guest may be debugged"),
        (Snp(policy=0x30000 | 1 << 18), "may be migrated"),
        (Snp(vmpl=1), "privilege level 1, at most 0"),
        (Snp(version=1), "version 1 is not known"),
        (Snp(version=3, family=0x1A), "knows Milan and Genoa only"),
        (Snp(algorithm=2), "not signed by ECDSA P-384"),
        (Snp(flags=1 << 2), "not signed by a chip's own key"),
        (Snp(flags=1 << 1), "not signed by a chip's own key"),
        (Snp(signed_for=Tcb(3, 0, 8, 114)), "it is for firmware boot loader 3, tee 0, snp 8"),
        (Snp(tcb=Tcb(2, 0, 8, 115)), "older than allowed"),
        (Snp(tcb=Tcb(3, 0, 7, 200)), "older than allowed"),
        (Snp(chip_named=bytes(64)), "another chip's"),
        (Snp(chip_named=b""), "another chip's"),
        (Snp(measurement=bytes(48)), "another image was started"),
        (Snp(authority=False), "no authority|not readable"),
        (Snp(valid=(BEGIN - timedelta(days=9), BEGIN)), "not valid at this time"),
        (Snp(valid=(END, END + timedelta(days=9))), "not valid at this time"),
        (Snp(curve="P-256"), "not on the curve P-384"),
        (Snp(extensions={"1.3.6.1.4.1.3704.1.3.1": b"\x02\x01\xff"}), "no small number"),
        (Snp(extensions={"1.3.6.1.4.1.3704.1.3.1": b""}), "no small number"),
        (Snp(extensions={"1.3.6.1.4.1.3704.1.3.1": b"\x02\x02\x01\x00"}), "no small number"),
    ],
)
def test_signed_evidence_of_a_machine_that_is_not_as_it_should_be_is_refused(
    machine: Snp, said: str
) -> None:
    with pytest.raises((MessageRefused, PolicyRefused), match=said):
        OURS(MEMBER, machine.evidence(), CHALLENGE, NOW)


def test_a_less_privileged_report_is_accepted_where_the_policy_says_so() -> None:
    replace(OURS, max_vmpl=2)(MEMBER, Snp(vmpl=2).evidence(), CHALLENGE, NOW)


def test_chains_in_another_order_or_length_or_of_another_root_are_refused() -> None:
    made, real = Snp().evidence(), GENUINE.certificates
    leaf, ask, ark = made.certificates
    for chain in ((), (leaf,), (leaf, ask), (ask, leaf, ark), (leaf, ark, ark), (leaf, *real[1:])):
        with pytest.raises(MessageRefused):
            OURS(MEMBER, replace(made, certificates=chain), CHALLENGE, NOW)
    with pytest.raises(MessageRefused, match="the root is not one that the policy trusts"):
        ALLOWED(MEMBER, made, CHALLENGE, NOW)
    with pytest.raises(MessageRefused, match="not signed|a signature is wrong"):
        OURS(MEMBER, replace(made, report=REPORT), CHALLENGE, NOW)


@pytest.mark.parametrize("size", [0, 1, 671, 1183, 1185, 16384])
def test_a_report_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(MessageRefused, match=f"expected 1184 bytes, {size} came"):
        read_report(bytes(size))


def test_what_a_report_says_is_shown() -> None:
    said = dict(sev_snp.facts(REPORT))
    assert said["measurement"].startswith("7a1e5c266c0108db")
    assert said["tcb"] == "boot loader 3, tee 0, snp 8, microcode 115"
    assert (said["vmpl"], said["debug"]) == ("0", "not allowed")
    assert der(ark_certificate())[0] != CHAIN[1]
