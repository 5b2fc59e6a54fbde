"""Whose machine has shown what: the check of a run's members, and what the policy may say."""

import re
import sys
from collections.abc import Mapping
from datetime import datetime
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from protocol.errors import MessageRefused, PolicyRefused
from protocol.identity.machine_evidence import (
    MAX_CERTIFICATE,
    MAX_CERTIFICATES,
    MAX_REPORT,
    MachineEvidence,
    RunEvidence,
    parse_run_evidence,
)
from protocol.identity.roster import Member
from protocol.transport.run_announcement import Joined, RunAnnouncement, parse_joined
from silos.config.attestation import AttestationPolicy, MachineCheck
from silos.config.attestation.kernel import CERTIFICATES, INTERFACE, OWN
from silos.config.attestation.policy import GROUP, find_verifier
from silos.config.site_file import Policy, read_site_file
from tests import ROOT
from tests.support.hospital.tee import (
    CHALLENGE,
    IMAGE,
    NOW,
    Snp,
    TdxMachine,
    ark_certificate,
    pinned,
    sgx_root,
)

MEMBERS = {
    site: Member(site=site, public_key=f"{place:02x}" * 32) for place, site in enumerate("abc")
}
POLICY = AttestationPolicy.model_validate(
    {
        "sev_snp": {
            "measurements": [IMAGE.hex()],
            "least_tcb": {"boot_loader": 3, "tee": 0, "snp": 8, "microcode": 100},
            "roots": list(pinned(ark_certificate())),
        },
        "tdx": {
            "measurements": [IMAGE.hex()],
            "least_tcb": "03000400" + "00" * 12,
            "registers": {"2": ["02" * 48]},
            "roots": list(pinned(sgx_root())),
        },
    }
)


class Shelf:
    """What the coordinator has of a run's evidence; counts how often it is asked."""

    def __init__(self, shown: Mapping[str, MachineEvidence]) -> None:
        self.shown = dict(shown)
        self.asked = 0

    def __call__(self) -> bytes | None:
        self.asked += 1
        return RunEvidence(shown=self.shown).canonical_bytes


def good() -> dict[str, MachineEvidence]:
    return {
        "a": Snp().evidence(MEMBERS["a"]),
        "b": TdxMachine().evidence(MEMBERS["b"]),
        "c": Snp().evidence(MEMBERS["c"]),
    }


def check_of(archive: Shelf, policy: AttestationPolicy = POLICY) -> MachineCheck:
    return MachineCheck(policy, CHALLENGE, archive, lambda: NOW)


def test_members_with_good_evidence_of_either_kind_pass_and_are_asked_once() -> None:
    archive = Shelf(good())
    check = check_of(archive)
    check([MEMBERS["a"], MEMBERS["b"]])
    archive.shown.clear()
    check([MEMBERS["a"], MEMBERS["b"]])
    assert archive.asked == 1
    with pytest.raises(PolicyRefused, match="c has shown no evidence"):
        check(MEMBERS.values())


def test_a_member_without_evidence_is_refused_with_that_reason() -> None:
    archive = Shelf({site: shown for site, shown in good().items() if site != "b"})
    with pytest.raises(PolicyRefused, match="^b has shown no evidence about its machine in this"):
        check_of(archive)(MEMBERS.values())
    nothing = MachineCheck(POLICY, CHALLENGE, lambda: None, lambda: NOW)
    with pytest.raises(PolicyRefused, match="it has no TEE, or the coordinator withholds it"):
        nothing([MEMBERS["a"]])


def test_evidence_that_comes_later_is_seen_later() -> None:
    archive = Shelf({})
    check = check_of(archive)
    with pytest.raises(PolicyRefused, match="a has shown no evidence"):
        check([MEMBERS["a"]])
    archive.shown |= good()
    check([MEMBERS["a"]])


def test_exchanged_evidence_is_refused() -> None:
    exchanged = good() | {"a": good()["c"]}
    with pytest.raises(
        PolicyRefused, match="evidence of a about its machine is refused: .* not about a and its"
    ):
        check_of(Shelf(exchanged))([MEMBERS["a"]])


def test_evidence_of_another_run_is_refused() -> None:
    stale = {"a": Snp().evidence(MEMBERS["a"], "ee" * 32)}
    with pytest.raises(PolicyRefused, match="not about a and its key in this run"):
        check_of(Shelf(stale))([MEMBERS["a"]])


def test_damaged_evidence_is_refused_as_that_members() -> None:
    garbage = {"a": MachineEvidence(kind="sev-snp", report=b"garbage")}
    with pytest.raises(PolicyRefused, match="the evidence of a .* expected 1184 bytes, 7 came"):
        check_of(Shelf(garbage))([MEMBERS["a"]])
    unread = MachineCheck(POLICY, CHALLENGE, lambda: b"{}", lambda: NOW)
    with pytest.raises(PolicyRefused, match="list of evidence cannot be read"):
        unread([MEMBERS["a"]])


def test_a_kind_that_the_policy_does_not_accept_is_refused() -> None:
    only_tdx = POLICY.model_copy(update={"sev_snp": None})
    with pytest.raises(PolicyRefused, match="a shows evidence of the kind sev-snp; .* accepts tdx"):
        check_of(Shelf(good()), only_tdx)([MEMBERS["a"]])


# --- the policy ---


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "must name sev_snp, tdx or an installed verifier"),
        ({"installed": ["tdx"]}, "tdx is checked by Collegium itself"),
        ({"installed": ["TEE"]}, "should match pattern"),
        ({"tdx": {"measurements": [], "least_tcb": "00" * 16}}, "at least 1 item"),
        ({"tdx": {"measurements": ["00" * 48]}}, "least_tcb"),
        ({"tdx": {"measurements": ["00" * 47], "least_tcb": "00" * 16}}, "should match pattern"),
        ({"sev_snp": {"measurements": ["00" * 48]}}, "least_tcb"),
        (
            {"tdx": {"measurements": ["00" * 48], "least_tcb": "00" * 16, "registers": {"4": []}}},
            "registers",
        ),
    ],
)
def test_a_policy_that_would_check_nothing_is_refused(
    written: dict[str, object], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        Policy.model_validate({"attestation": written})


def test_roots_are_the_makers_own_unless_others_are_named() -> None:
    policy = AttestationPolicy.model_validate(
        {"tdx": {"measurements": ["00" * 48], "least_tcb": "00" * 16}}
    )
    with pytest.raises(PolicyRefused, match="the root is not one that the policy trusts"):
        check_of(Shelf(good()), policy)([MEMBERS["b"]])


def test_an_installed_verifier_is_found_by_its_name_and_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def verify(member: Member, evidence: MachineEvidence, challenge: str, now: datetime) -> None:
        if evidence.report != f"{member.site} {challenge} {now.year}".encode():
            raise MessageRefused("another toy")

    vendor = ModuleType("toy_vendor")
    vendor.__dict__["verify"] = verify
    monkeypatch.setitem(sys.modules, "toy_vendor", vendor)
    toy = EntryPoint(name="toy", value="toy_vendor:verify", group=GROUP)
    assert find_verifier("toy", [toy]) is verify
    for installed in ([], [toy, toy]):
        with pytest.raises(PolicyRefused, match=rf"'toy' verifies, but {len(installed)} verifiers"):
            find_verifier("toy", installed)
    monkeypatch.setattr("silos.config.attestation.policy.entry_points", lambda group: [toy])
    asking = AttestationPolicy.model_validate({"installed": ["toy"]})
    shown = {"a": MachineEvidence(kind="toy", report=f"a {CHALLENGE} 2026".encode())}
    check_of(Shelf(shown), asking)([MEMBERS["a"]])
    with pytest.raises(PolicyRefused, match="the evidence of b .* another toy"):
        check_of(Shelf({"b": shown["a"]}), asking)([MEMBERS["b"]])


def test_a_verifier_that_nobody_installed_is_refused() -> None:
    asking = AttestationPolicy.model_validate({"installed": ["none-such"]})
    with pytest.raises(PolicyRefused, match="'none-such' verifies, but 0 verifiers"):
        check_of(Shelf({}), asking)


# --- what travels ---


def test_evidence_travels_beside_the_join_and_in_the_runs_list() -> None:
    evidence = Snp().evidence(MEMBERS["a"])
    said = Joined(summary=b"s", signature=bytes(64), model="0" * 64, evidence=evidence)
    assert parse_joined(said.canonical_bytes) == said
    without = Joined(summary=b"s", signature=bytes(64), model="0" * 64)
    assert parse_joined(without.canonical_bytes).evidence is None
    listed = RunEvidence(shown={"a": evidence})
    assert parse_run_evidence(listed.canonical_bytes) == listed


def test_evidence_has_limits() -> None:
    MachineEvidence(kind="x", report=bytes(MAX_REPORT))
    for wrong in (
        {"report": bytes(MAX_REPORT + 1)},
        {"report": b"", "certificates": (bytes(MAX_CERTIFICATE + 1),)},
        {"report": b"", "certificates": (b"",) * (MAX_CERTIFICATES + 1)},
        {"report": b"", "kind": "A b"},
    ):
        with pytest.raises(ValueError, match="MachineEvidence"):
            MachineEvidence(**{"kind": "x", **wrong})  # type: ignore[arg-type]


def test_every_run_asks_anew() -> None:
    notice = RunAnnouncement(run_id="20260101-0000-aa", study="1" * 64, roster="2" * 64)
    others = [
        RunAnnouncement(run_id="20260101-0000-ab", study="1" * 64, roster="2" * 64),
        RunAnnouncement(run_id="20260101-0000-aa", study="3" * 64, roster="2" * 64),
        RunAnnouncement(run_id="20260101-0000-aa", study="1" * 64, roster="3" * 64),
    ]
    assert len({notice.digest, *(other.digest for other in others)}) == 4


# --- the page ---


def test_the_policy_of_the_page_is_one_and_its_command_exists() -> None:
    page = (ROOT / "docs" / "attestation.md").read_text()
    (shown,) = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    site = read_site_file("collegium_site: 1\nname: east\n" + shown)
    assert site.policy.attestation is not None
    assert site.policy.attestation.kinds == ("sev-snp", "tdx")
    assert "HOME/" + CERTIFICATES + "/" in page and str(INTERFACE) in page and OWN in page
