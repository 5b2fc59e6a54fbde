"""Identities, signatures and the roster's quorum."""

import pytest

from protocol.errors import MessageRefused, QuorumLost
from protocol.identity.roster import (
    COORDINATOR,
    Member,
    Roster,
    SignedRoster,
    SigningKey,
    parse_roster,
    require_founding,
    require_quorum,
    sign_roster,
    verify,
    verify_raw,
)
from tests.support.hospital.rosters import roster_with

NAMES = ("berlin", "lyon", "oslo", "turin")
KEYS = {name: SigningKey.from_bytes(bytes([number]) * 32) for number, name in enumerate(NAMES)}


def roster_of(*names: str, version: int = 1, previous: str | None = None) -> Roster:
    members = tuple(Member(site=name, public_key=KEYS[name].public.hex()) for name in names)
    return roster_with(members, version=version, previous=previous)


def test_signature_is_that_of_rfc_8032() -> None:
    # RFC 8032, section 7.1, test 2.
    key = SigningKey.from_bytes(
        bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    )
    signature = key.sign_raw(b"\x72")
    assert key.public.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert signature.hex().startswith("92a009a9f0d4cab8720e820b5f642540")
    verify_raw(key.public, b"\x72", signature)


def test_signature_covers_domain_and_data() -> None:
    key = KEYS["lyon"]
    signature = key.sign("masked", b"data")
    verify_raw(key.public, b"collegium/v1/masked\ndata", signature)
    for domain, data in (("reveal", b"data"), ("masked", b"date"), ("masked", b"")):
        with pytest.raises(MessageRefused, match="not valid for this key"):
            verify(key.public, domain, data, signature)


def test_signature_of_another_or_no_key_is_refused() -> None:
    signature = KEYS["lyon"].sign("masked", b"data")
    for public in (KEYS["oslo"].public, b"", bytes(31)):
        with pytest.raises(MessageRefused, match="not valid for this key"):
            verify(public, "masked", b"data", signature)


def test_domain_of_two_lines_is_refused() -> None:
    with pytest.raises(ValueError, match="a domain is one line"):
        KEYS["lyon"].sign("masked\n", b"data")


def test_key_survives_its_bytes_and_does_not_show_them() -> None:
    key = SigningKey.generate()
    assert SigningKey.from_bytes(key.to_bytes()).public == key.public
    assert key.to_bytes().hex() not in repr(key)


def test_roster_survives_its_bytes() -> None:
    roster = roster_of(*NAMES)
    assert parse_roster(roster.canonical_bytes) == roster
    assert roster.key_of("oslo") == KEYS["oslo"].public
    assert roster.sites == NAMES


def test_roster_digest_depends_on_every_key() -> None:
    other = roster_with(
        (
            *roster_of("berlin", "lyon", "oslo").members,
            Member(site="turin", public_key=SigningKey.generate().public.hex()),
        )
    )
    assert other.digest != roster_of(*NAMES).digest


def test_stranger_has_no_key() -> None:
    with pytest.raises(MessageRefused, match="'riga' is not in the roster"):
        roster_of(*NAMES).key_of("riga")


@pytest.mark.parametrize("names", [(), ("lyon", "berlin"), ("lyon", "lyon")])
def test_roster_must_be_sorted_and_distinct(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="sorted by site, each named once"):
        roster_of(*names)


def test_two_members_with_one_key_are_refused() -> None:
    public = KEYS["lyon"].public.hex()
    members = (Member(site="a", public_key=public), Member(site="b", public_key=public))
    with pytest.raises(ValueError, match="the same key"):
        roster_with(members)


@pytest.mark.parametrize("site", ["", "Lyon", "lyon/2", "a" * 64, "-lyon"])
def test_member_with_a_wrong_name_is_refused(site: str) -> None:
    with pytest.raises(ValueError, match="site: expected text"):
        Member(site=site, public_key=KEYS["lyon"].public.hex())


def test_no_member_may_pass_for_the_coordinator() -> None:
    with pytest.raises(ValueError, match="no hospital may be called"):
        Member(site=COORDINATOR, public_key=KEYS["lyon"].public.hex())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((b'"version":1', b'"version":1.5'), "version: expected an integer"),
        ((b'"version":1', b'"version":true'), "version: expected an integer"),
        ((b'"version":1', b'"version":1,"x":1'), "expected exactly the fields"),
        ((b'"site":"lyon"', b'"site":"LYON"'), "members: site: expected text"),
        ((b'"lyon"', b'"aaaa"'), "sorted by site"),
    ],
)
def test_damaged_roster_is_refused(change: tuple[bytes, bytes], message: str) -> None:
    data = roster_of(*NAMES).canonical_bytes.replace(*change)
    with pytest.raises(MessageRefused, match=message):
        parse_roster(data)


def followed(by: tuple[str, ...], signers: tuple[str, ...]) -> SignedRoster:
    roster = roster_of(*by, version=2, previous=roster_of("berlin", "lyon", "oslo").digest)
    return SignedRoster(
        roster=roster, signatures={name: sign_roster(roster, KEYS[name]) for name in signers}
    )


def test_members_may_change_the_roster_together() -> None:
    before = roster_of("berlin", "lyon", "oslo")
    signed = followed(NAMES, ("berlin", "lyon", "oslo"))
    assert require_quorum(signed, before) == signed.roster


def test_roster_without_a_quorum_is_refused() -> None:
    before = roster_of("berlin", "lyon", "oslo")
    with pytest.raises(QuorumLost, match="2 members signed roster 2, 3 must"):
        require_quorum(followed(NAMES, ("berlin", "lyon")), before)


def test_new_member_has_no_vote_on_itself() -> None:
    before = roster_of("berlin", "lyon", "oslo")
    with pytest.raises(MessageRefused, match="'turin' is not in the roster"):
        require_quorum(followed(NAMES, ("berlin", "lyon", "turin")), before)


def test_forged_vote_is_refused() -> None:
    before = roster_of("berlin", "lyon", "oslo")
    signed = followed(NAMES, ("berlin", "lyon", "oslo"))
    forged = {**signed.signatures, "oslo": sign_roster(signed.roster, KEYS["turin"])}
    with pytest.raises(MessageRefused, match="not valid for this key"):
        require_quorum(SignedRoster(roster=signed.roster, signatures=forged), before)


def test_roster_that_follows_another_is_refused() -> None:
    signed = followed(NAMES, ("berlin", "lyon", "oslo"))
    with pytest.raises(MessageRefused, match="roster 2 does not follow roster 1"):
        require_quorum(signed, roster_of(*NAMES))


def founding(*signers: str) -> SignedRoster:
    roster = roster_of("berlin", "lyon", "oslo")
    return SignedRoster(
        roster=roster, signatures={name: sign_roster(roster, KEYS[name]) for name in signers}
    )


def test_first_roster_is_signed_by_every_member_that_it_names() -> None:
    signed = founding("berlin", "lyon", "oslo")
    assert require_founding(signed) == signed.roster
    with pytest.raises(QuorumLost, match="not signed by lyon, oslo: all must"):
        require_founding(founding("berlin"))


def test_first_roster_with_a_stranger_s_or_a_forged_signature_is_refused() -> None:
    with pytest.raises(MessageRefused, match="'turin' is not in the roster"):
        require_founding(founding("berlin", "lyon", "oslo", "turin"))
    signed = founding("berlin", "lyon", "oslo")
    forged = dict(signed.signatures) | {"lyon": signed.signatures["oslo"]}
    with pytest.raises(MessageRefused, match="not valid for this key"):
        require_founding(SignedRoster(roster=signed.roster, signatures=forged))


def test_roster_that_follows_another_founds_nothing() -> None:
    with pytest.raises(MessageRefused, match="roster 2 follows another"):
        require_founding(followed(("berlin",), ("berlin",)))


def test_member_gets_another_key_only_with_its_own_signature() -> None:
    before = roster_of(*NAMES)
    changed = Member(site="turin", public_key=SigningKey.generate().public.hex())
    roster = roster_with((*before.members[:3], changed), version=2, previous=before.digest)
    votes = {name: sign_roster(roster, KEYS[name]) for name in NAMES}
    assert require_quorum(SignedRoster(roster=roster, signatures=votes), before) == roster
    del votes["turin"]
    with pytest.raises(QuorumLost, match="turin has not signed roster 2, which gives it another"):
        require_quorum(SignedRoster(roster=roster, signatures=votes), before)
