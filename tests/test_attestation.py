"""Evidence about members' machines, checked by one function that a hospital installed."""

import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from protocol.enrolment import Attestation, attest
from protocol.errors import PolicyRefused
from protocol.identity import Member, Roster, SigningKey
from silos.attestation import GROUP, find_verifier, require_attested

KEYS = {site: SigningKey.from_bytes(bytes([place + 1]) * 32) for place, site in enumerate("ab")}
ROSTER = Roster(
    members=tuple(Member(site=site, public_key=key.public.hex()) for site, key in KEYS.items())
)


def require_quote(member: Member, evidence: bytes) -> None:
    """A toy: the machine says which key it holds."""
    if evidence != b"toy quote over " + member.public_key.encode():
        raise PolicyRefused(f"the toy quote of {member.site} is over another key")


def quotes() -> dict[str, Attestation]:
    said = {site: b"toy quote over " + key.public.hex().encode() for site, key in KEYS.items()}
    return {site: attest(site, said[site], key) for site, key in KEYS.items()}


def test_members_with_good_evidence_are_accepted() -> None:
    seen: list[str] = []

    def watch(member: Member, evidence: bytes) -> None:
        require_quote(member, evidence)
        seen.append(member.site)

    require_attested(ROSTER, quotes(), watch)
    assert seen == ["a", "b"]


def test_member_without_evidence_is_refused() -> None:
    found = quotes()
    del found["b"]
    with pytest.raises(PolicyRefused, match="b has sent no evidence"):
        require_attested(ROSTER, found, require_quote)


def test_evidence_of_another_member_or_changed_on_its_way_is_refused() -> None:
    found = quotes()
    for wrong in (found["a"], replace(found["b"], evidence=found["a"].evidence)):
        with pytest.raises(PolicyRefused, match="the evidence of b is not its own"):
            require_attested(ROSTER, found | {"b": wrong}, require_quote)


def test_evidence_that_does_not_satisfy_the_verifier_is_refused() -> None:
    found = quotes() | {"b": attest("b", b"toy quote over nothing", KEYS["b"])}
    with pytest.raises(PolicyRefused, match="toy quote of b is over another key"):
        require_attested(ROSTER, found, require_quote)


def test_verifier_is_found_by_the_name_that_its_package_gave_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vendor = ModuleType("toy_vendor")
    vendor.__dict__["verify"] = require_quote
    monkeypatch.setitem(sys.modules, "toy_vendor", vendor)
    toy = EntryPoint(name="toy", value="toy_vendor:verify", group=GROUP)
    assert find_verifier("toy", [toy]) is require_quote
    for installed in ([], [toy, toy]):
        with pytest.raises(PolicyRefused, match=rf"by 'toy', but {len(installed)} verifiers"):
            find_verifier("toy", installed)


def test_verifier_that_nobody_installed_is_refused() -> None:
    with pytest.raises(PolicyRefused, match="demands attestation by 'none-such'"):
        find_verifier("none-such")
