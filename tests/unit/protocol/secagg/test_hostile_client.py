"""What a dishonest silo tries: it is named where that can be known, and the sum is never wrong.

Either the total is exactly the sum of the vectors that the sites in it sent,
or the round is refused and ``total`` has nothing to give. What a site's vector
says is its own affair, up to the length that all sites together may have: a sum hides
it, so nobody can check it.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from protocol.encoding import blob_digest
from protocol.errors import MessageRefused, OutOfOrder, QuorumLost, SumRefused
from protocol.secagg.client import SecAggClient
from protocol.secagg.encrypted_shares import Openings
from protocol.secagg.masking import seal, share_keys
from protocol.secagg.messages import (
    ENTRY_BYTES,
    SEALED_BYTES,
    SIGNATURE_BYTES,
    Complaint,
    Consistency,
    Masked,
    Reveal,
    ShareHeader,
    digest_of_blobs,
    header_of,
    pieces,
)
from protocol.secagg.secret_sharing import OPENING_BYTES, SALT_BYTES, SHARE_BYTES, Opening
from protocol.secagg.server import Step
from protocol.vectors.keystream import RingVector
from tests.support.reference.secure_sum import plain_sum
from tests.support.simulated.sum_federation import (
    FIRST,
    LEDGER_HEAD,
    STEPS,
    Federation,
    Tamper,
    reached,
)

#: A message and a blob in, another pair out.
Change = Callable[[bytes, bytes | None], tuple[bytes, bytes | None]]


def summed(federation: Federation, vectors: Mapping[str, RingVector], *without: str) -> list[int]:
    """Returns what must come out when these sites are not in the sum."""
    inside = [vectors[site].tolist() for site in federation.sites if site not in without]
    return plain_sum(inside, federation.context.ring_bits)


def at(step: Step, change: Change, site: str = FIRST) -> Tamper:
    """Returns a tamper hook that acts on one answer only."""

    def tamper(
        now: Step, who: str, message: bytes, blob: bytes | None
    ) -> tuple[bytes, bytes | None]:
        return change(message, blob) if (now, who) == (step, site) else (message, blob)

    return tamper


def check_masked(federation: Federation) -> None:
    """Checks that a refused round gives no sum."""
    with pytest.raises(OutOfOrder, match="the sum is still masked"):
        federation.coordinator.total()


# --- messages --------------------------------------------------------------------------------


SIGNED = (Step.ADVERTISE, Step.MASKED, Step.CONSISTENCY)


@pytest.mark.parametrize("step", SIGNED, ids=lambda step: step.value)
def test_unsigned_answer_is_refused_and_its_site_named(step: Step) -> None:
    federation = Federation(4)
    vectors = federation.vectors()
    tamper = at(step, lambda wire, blob: (bytes(64) + wire[64:], blob))
    total = federation.run(vectors, tamper=tamper)
    lost = () if step is Step.CONSISTENCY else (FIRST,)
    assert total.tolist() == summed(federation, vectors, *lost)
    assert "not valid for this key" in federation.coordinator.culprits[FIRST]


def test_unsigned_header_is_refused_by_every_silo_and_its_site_named() -> None:
    federation = Federation(4)
    tamper = at(Step.SHARE, lambda wire, blob: (bytes(64) + wire[64:], blob))
    with pytest.raises(QuorumLost, match="step masked: 0 of 4 sites are left"):
        federation.run(federation.vectors(), tamper=tamper)
    assert dict(federation.coordinator.culprits) == {
        FIRST: "the signature is not valid for this key"
    }
    check_masked(federation)


def test_shares_that_open_their_commitments_count_whoever_signed_them() -> None:
    federation = Federation(4)
    vectors = federation.vectors()
    tamper = at(Step.UNMASK, lambda wire, blob: (bytes(64) + wire[64:], blob))
    assert federation.run(vectors, tamper=tamper).tolist() == summed(federation, vectors)
    assert not federation.coordinator.culprits


def test_wrong_shares_without_a_signature_are_refused_as_a_forgery() -> None:
    federation = Federation(4)
    vectors = federation.vectors()

    def change(wire: bytes, blob: bytes | None) -> tuple[bytes, bytes | None]:
        reveal = federation.opened_answer(wire, Reveal, FIRST)
        lie = replace(reveal, self_shares=bytes(len(reveal.self_shares)))
        return bytes(64) + federation.from_site(FIRST, lie)[64:], blob

    total = federation.run(vectors, tamper=at(Step.UNMASK, change))
    assert total.tolist() == summed(federation, vectors)
    assert "not valid for this key" in federation.coordinator.culprits[FIRST]


def test_answer_of_another_attempt_is_refused_and_its_site_named() -> None:
    federation = Federation(4)
    vectors, old = federation.vectors(), federation.silos[FIRST].advertise()
    federation.begin(attempt=1)
    total = federation.run(vectors, tamper=at(Step.ADVERTISE, lambda *_: (old, None)))
    assert total.tolist() == summed(federation, vectors, FIRST)
    assert "belongs to another context" in federation.coordinator.culprits[FIRST]


def test_answer_in_the_name_of_another_site_is_refused() -> None:
    federation = reached(Step.CONSISTENCY, 4)
    request = federation.request(Step.CONSISTENCY)
    wire = federation.silos["site-01"].confirm(request)
    with pytest.raises(MessageRefused, match="the consistency message is not from site-00"):
        federation.coordinator.receive(Step.CONSISTENCY, FIRST, wire)


def test_second_answer_that_differs_is_refused() -> None:
    federation = reached(Step.MASKED, 4)
    vectors, request = federation.vectors(), federation.request(Step.MASKED)
    answer = federation.answer(Step.MASKED, FIRST, request, vectors[FIRST])
    federation.coordinator.receive(Step.MASKED, FIRST, *answer)
    second = masked_message(federation, bytes(20))
    with pytest.raises(MessageRefused, match="has answered step masked differently"):
        federation.coordinator.receive(Step.MASKED, FIRST, second, bytes(20))


def masked_message(federation: Federation, blob: bytes) -> bytes:
    """Returns the first site's signed name of any blob."""
    return federation.from_site(FIRST, Masked(blob=blob_digest(blob), ledger_head=LEDGER_HEAD))


@given(st.sampled_from(STEPS), st.booleans(), st.integers(0, 2**16), st.integers(1, 255))
@settings(max_examples=100)
def test_changed_byte_anywhere_leaves_the_sum_exact(
    step: Step, is_blob: bool, place: int, bits: int
) -> None:
    federation = Federation(4)
    vectors = federation.vectors()

    forged: list[bool] = []

    def change(wire: bytes, blob: bytes | None) -> tuple[bytes, bytes | None]:
        data = bytearray(blob if is_blob and blob else wire)
        data[place % len(data)] ^= bits
        forged.append(not is_blob and place % len(data) < SIGNATURE_BYTES)
        return (wire, bytes(data)) if is_blob and blob else (bytes(data), blob)

    try:
        total = federation.run(vectors, tamper=at(step, change))
    except QuorumLost:  # a header that is not signed: every silo refuses it
        assert (step, forged) == (Step.SHARE, [True])
        assert set(federation.coordinator.culprits) == {FIRST}
        return
    lost = set(federation.sites) - set(federation.coordinator.survivors)
    assert lost == (set() if step in (Step.CONSISTENCY, Step.UNMASK) else {FIRST})
    assert total.tolist() == summed(federation, vectors, *lost)


# --- adverts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["mask_public", "share_public"])
@pytest.mark.parametrize("wrong", ["of small order", "of another site", "its own other key"])
def test_unusable_or_copied_key_is_refused_and_its_site_named(key: str, wrong: str) -> None:
    federation = Federation(4)
    own, other = (federation.silos[site] for site in federation.sites[:2])
    federation.coordinator.receive(Step.ADVERTISE, "site-01", other.advertise())
    own.advertise()
    assert own._secrets is not None and other._secrets is not None
    true, taken = own._secrets.advert(), other._secrets.advert()
    replica = true.share_public if key == "mask_public" else true.mask_public
    public, message = {
        "of small order": (bytes(32), "not a usable point"),
        "of another site": (taken.mask_public, "already taken"),
        "its own other key": (replica, "already taken"),
    }[wrong]
    lie = federation.from_site(FIRST, replace(true, **{key: public}))
    with pytest.raises(MessageRefused, match=message):
        federation.coordinator.receive(Step.ADVERTISE, FIRST, lie)
    assert message in federation.coordinator.culprits[FIRST]


# --- shares ----------------------------------------------------------------------------------

#: What a dealer puts in the place of a holder's entry: (dealer, holder, true entry) to 276 bytes.
Forge = Callable[[SecAggClient, str, bytes], bytes]


def garbage(_dealer: SecAggClient, _holder: str, entry: bytes) -> bytes:
    """True commitments, and a ciphertext that nobody can open."""
    return entry[:-SEALED_BYTES] + secrets.token_bytes(SEALED_BYTES)


def uncommitted(_dealer: SecAggClient, _holder: str, entry: bytes) -> bytes:
    """True shares beside commitments to others."""
    return secrets.token_bytes(ENTRY_BYTES - SEALED_BYTES) + entry[-SEALED_BYTES:]


def beside_the_polynomial(dealer: SecAggClient, holder: str, _entry: bytes) -> bytes:
    """Shares of nothing, well sealed and committed to: the holder has no reason to complain."""
    parts = [
        Opening(share=bytes(1) + secrets.token_bytes(SHARE_BYTES - 1), salt=bytes(SALT_BYTES))
        for _ in range(2)
    ]
    shares = Openings(self_share=parts[0], pair_share=parts[1])
    assert dealer._adverts is not None and dealer._secrets is not None
    public, context = dealer._adverts.by_site[holder].share_public, dealer.context
    key, _ = share_keys(dealer._secrets.share_private, public, context, dealer.site, holder)
    sealed = seal(key, context, dealer.site, holder, shares.to_bytes())
    return shares.commitments(context, dealer.site, holder) + sealed


def dealing(federation: Federation, forge: Forge, *holders: str) -> Tamper:
    """Returns a hook by which the first site deals some holders forged entries, and signs them."""

    def change(_wire: bytes, blob: bytes | None) -> tuple[bytes, bytes | None]:
        dealer = federation.silos[FIRST]
        assert blob is not None and dealer._adverts is not None
        entries = pieces(blob, ENTRY_BYTES, federation.count)
        for holder in holders:
            place = federation.sites.index(holder)
            entries[place] = forge(dealer, holder, entries[place])
        lie = ShareHeader(adverts=dealer._adverts.digest, entries=header_of(entries))
        dealer._header = federation.from_site(FIRST, lie)
        return dealer._header, b"".join(entries)

    return at(Step.SHARE, change)


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (garbage, "the sealed shares cannot be opened"),
        (uncommitted, "the shares do not match their commitments"),
    ],
)
def test_garbage_ciphertext_is_named_by_the_silo_that_got_it(forge: Forge, reason: str) -> None:
    federation, victim = Federation(4), "site-02"
    vectors = federation.vectors()
    federation.play(Step.ADVERTISE, vectors)
    federation.play(Step.SHARE, vectors, tamper=dealing(federation, forge, victim))
    request = federation.coordinator.request(Step.MASKED, victim)
    with pytest.raises(MessageRefused, match=f"site {FIRST}: {reason}"):
        federation.silos[victim].accept_shares(request, federation.entries(victim))
    complaint = federation.silos[victim].complaint()
    with pytest.raises(MessageRefused, match=f"{victim} takes no part: it complains about {FIRST}"):
        federation.coordinator.receive(Step.MASKED, victim, complaint)
    for step in STEPS[2:]:
        federation.play(step, vectors, absent=frozenset({victim}))
    assert federation.coordinator.total().tolist() == summed(federation, vectors, victim)
    assert dict(federation.coordinator.complaints) == {victim: FIRST}
    assert not federation.coordinator.culprits


def test_garbage_for_too_many_ends_the_round_and_the_next_goes_without_its_dealer() -> None:
    federation, victims = Federation(5), ("site-02", "site-03")
    vectors = federation.vectors()
    federation.play(Step.ADVERTISE, vectors)
    federation.play(Step.SHARE, vectors, tamper=dealing(federation, garbage, *victims))
    with pytest.raises(QuorumLost, match="step masked: 3 of 5 sites are left, 4 are needed"):
        federation.play(Step.MASKED, vectors)
    assert all(FIRST in federation.refusals[victim] for victim in victims)
    check_masked(federation)
    federation.begin(attempt=1)
    total = federation.run(vectors, lost={FIRST: Step.ADVERTISE})
    assert total.tolist() == summed(federation, vectors, FIRST)


@pytest.mark.parametrize("which", ["self_secret", "pair_secret"])
def test_dealer_of_shares_that_do_not_give_its_secret_is_named(which: str) -> None:
    federation = Federation(5)
    vectors, liar = federation.vectors(), federation.silos[FIRST]
    federation.play(Step.ADVERTISE, vectors)
    assert liar._secrets is not None
    true, lie = liar._secrets, {which: secrets.token_bytes(32)}
    liar._secrets = replace(true, **lie)  # type: ignore[arg-type]
    federation.play(Step.SHARE, vectors)
    liar._secrets = true
    lost = frozenset({FIRST}) if which == "pair_secret" else frozenset()
    with pytest.raises(QuorumLost, match=f"the shares of {FIRST} do not unmask the sum"):
        for step in STEPS[2:]:
            federation.play(step, vectors, absent=lost)
    assert set(federation.coordinator.culprits) == {FIRST}
    check_masked(federation)


def test_share_beside_the_polynomial_names_its_dealer_and_the_sum_stays_masked() -> None:
    federation = Federation(4)
    vectors = federation.vectors()
    tamper = dealing(federation, beside_the_polynomial, "site-01")
    with pytest.raises(QuorumLost, match=f"the shares of {FIRST} do not unmask the sum"):
        federation.run(vectors, tamper=tamper)
    assert set(federation.coordinator.culprits) == {FIRST}
    check_masked(federation)


def test_share_beside_the_polynomial_that_is_not_needed_does_no_harm() -> None:
    federation = Federation(4)  # t = 3: the last site's shares are not used
    vectors = federation.vectors()
    tamper = dealing(federation, beside_the_polynomial, "site-03")
    assert federation.run(vectors, tamper=tamper).tolist() == summed(federation, vectors)


def test_header_that_does_not_name_its_entries_is_refused() -> None:
    federation = reached(Step.SHARE, 4)
    header, entries = federation.silos[FIRST].share(federation.request(Step.SHARE))
    wrong = federation.from_site(FIRST, ShareHeader(adverts="0" * 64, entries=bytes(32 * 4)))
    for wire, blob, message in (
        (wrong, entries, "site site-00: it used other adverts"),
        (header, entries[ENTRY_BYTES:] + entries[:ENTRY_BYTES], "not the ones it signed"),
        (header, None, "expected 4 pieces of 276 bytes, got 0 bytes"),
        (header, entries[:-1], "expected 4 pieces of 276 bytes, got 1103 bytes"),
        (header, entries + bytes(ENTRY_BYTES), "expected 4 pieces of 276 bytes, got 1380 bytes"),
    ):
        with pytest.raises(MessageRefused, match=message):
            federation.coordinator.receive(Step.SHARE, FIRST, wire, blob)


def test_complaint_about_oneself_or_a_stranger_is_refused() -> None:
    federation = reached(Step.MASKED, 4)
    for against in (FIRST, "sybil"):
        wire = federation.from_site(FIRST, Complaint(against=against))
        with pytest.raises(MessageRefused, match="complains about nobody"):
            federation.coordinator.receive(Step.MASKED, FIRST, wire)
    assert not federation.coordinator.culprits


def test_false_complaint_costs_only_the_accuser_its_place() -> None:
    federation = Federation(4)
    vectors = federation.vectors()
    lie = federation.from_site(FIRST, Complaint(against="site-01"))
    total = federation.run(vectors, tamper=at(Step.MASKED, lambda *_: (lie, None)))
    assert total.tolist() == summed(federation, vectors, FIRST)
    assert dict(federation.coordinator.complaints) == {FIRST: "site-01"}
    assert not federation.coordinator.culprits


# --- vectors ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, 0, 19, 21, 24, 4000])
def test_truncated_or_oversized_vector_is_refused_and_its_site_named(size: int | None) -> None:
    federation = Federation(4)
    vectors, wrong = federation.vectors(), None if size is None else bytes(size)
    lie = masked_message(federation, wrong or b"")  # it signs what it sends
    total = federation.run(vectors, tamper=at(Step.MASKED, lambda *_: (lie, wrong)))
    assert total.tolist() == summed(federation, vectors, FIRST)
    assert federation.coordinator.culprits[FIRST] == "expected a blob of 20 bytes"
    assert federation.coordinator.dropped == (FIRST,)


def test_masked_message_that_names_another_blob_is_refused_and_its_site_named() -> None:
    federation = Federation(4)
    vectors = federation.vectors()
    lie = masked_message(federation, bytes(20))
    total = federation.run(vectors, tamper=at(Step.MASKED, lambda _wire, blob: (lie, blob)))
    assert total.tolist() == summed(federation, vectors, FIRST)
    assert federation.coordinator.culprits[FIRST] == "its blob is not the one it signed"


def wrong_self_mask(liar: SecAggClient) -> None:
    assert liar._secrets is not None
    liar._secrets = replace(liar._secrets, self_secret=secrets.token_bytes(32))


def wrong_pair_masks(liar: SecAggClient) -> None:
    assert liar._secrets is not None
    liar._secrets = replace(liar._secrets, mask_private=X25519PrivateKey.generate())


def one_wrong_pair_mask(liar: SecAggClient) -> None:
    assert liar._adverts is not None
    public = X25519PrivateKey.generate().public_key().public_bytes_raw()
    peers = dict(liar._adverts.by_site)
    peers["site-02"] = replace(peers["site-02"], mask_public=public)
    liar._adverts = replace(liar._adverts, by_site=peers)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("spoil", [wrong_self_mask, wrong_pair_masks, one_wrong_pair_mask])
def test_wrong_mask_makes_the_sum_noise_and_it_is_refused(
    spoil: Callable[[SecAggClient], None], bits: int
) -> None:
    federation = reached(Step.MASKED, 4, dim=65536, ring_bits=bits)
    spoil(federation.silos[FIRST])
    with pytest.raises(SumRefused, match="a mask or a vector is wrong"):
        for step in STEPS[2:]:
            federation.play(step, federation.vectors())
    check_masked(federation)
    assert not federation.coordinator.culprits  # noise has no sender
    held = np.bincount(federation.coordinator._sum.view(np.uint8), minlength=256)
    assert chisquare(held).pvalue > 1e-6


def test_wrong_mask_is_noticed_in_the_tightest_ring_that_a_study_may_ask_for() -> None:
    federation = reached(Step.MASKED, 4, dim=64, bound="0.4", frac_bits=30)
    wrong_self_mask(federation.silos[FIRST])
    with pytest.raises(SumRefused, match="a mask or a vector is wrong"):
        for step in STEPS[2:]:
            federation.play(step, federation.vectors())


def test_vector_without_any_mask_is_refused_with_the_sum() -> None:
    federation = Federation(4, {"dim": 64})
    vectors = federation.vectors()
    blob = vectors[FIRST].tobytes()
    lie = masked_message(federation, blob)
    federation.silos[FIRST]._blob = blob_digest(blob)
    with pytest.raises(SumRefused, match="a mask or a vector is wrong"):
        federation.run(vectors, tamper=at(Step.MASKED, lambda *_: (lie, blob)))
    check_masked(federation)


def one_long_vector(federation: Federation, length: float) -> dict[str, RingVector]:
    """Returns zeros, and from the first site a vector so many times as long as the bound."""
    vectors = {site: np.zeros_like(words) for site, words in federation.vectors().items()}
    vectors[FIRST][2] = int(length * float(federation.context.bound) * 2**20)
    return vectors


def test_well_masked_vector_longer_than_all_sites_together_is_refused() -> None:
    federation = Federation(4)  # a little room is left for the scalars behind the parameters
    with pytest.raises(SumRefused, match="the sum is longer than its updates can be"):
        federation.run(one_long_vector(federation, 4.15))
    check_masked(federation)


@pytest.mark.parametrize("length", [1.01, 3.99])
def test_well_masked_vector_longer_than_its_own_bound_counts_as_it_was_sent(length: float) -> None:
    # The sum hides it, so the protocol cannot tell: clipping is the honest software's.
    federation = Federation(4)
    vectors = one_long_vector(federation, length)
    assert federation.run(vectors).tolist() == summed(federation, vectors)


# --- signatures and reveals ------------------------------------------------------------------


@pytest.mark.parametrize("field", ["adverts", "senders", "survivors"])
def test_signature_on_another_set_is_refused_and_its_site_named(field: str) -> None:
    federation = Federation(4)
    vectors = federation.vectors()

    def change(wire: bytes, blob: bytes | None) -> tuple[bytes, bytes | None]:
        true = federation.opened_answer(wire, Consistency, FIRST)
        other: dict[str, Any] = {field: digest_of_blobs({})}
        return federation.from_site(FIRST, replace(true, **other)), blob

    total = federation.run(vectors, tamper=at(Step.CONSISTENCY, change))
    assert total.tolist() == summed(federation, vectors)  # its vector is in the sum
    assert federation.coordinator.culprits[FIRST] == "it signed another U1, U2 or U3"


def revealing(federation: Federation, **openings: Callable[[bytes], bytes]) -> Tamper:
    """Returns a hook by which the first site changes what it reveals."""

    def change(wire: bytes, blob: bytes | None) -> tuple[bytes, bytes | None]:
        true = federation.opened_answer(wire, Reveal, FIRST)
        lie = {field: of(getattr(true, field)) for field, of in openings.items()}
        return federation.from_site(FIRST, replace(true, **lie)), blob

    return at(Step.UNMASK, change)


def last_bit_flipped(openings: bytes) -> bytes:
    """Returns openings with the last bit of the first share flipped."""
    return openings[: SHARE_BYTES - 1] + bytes([openings[SHARE_BYTES - 1] ^ 1]) + openings[66:]


@pytest.mark.parametrize("which", ["self_shares", "pair_shares"])
def test_wrong_share_is_named_and_the_sum_stays_exact(which: str) -> None:
    federation = Federation(7)  # t = 5: one may be lost, and one may lie
    vectors = federation.vectors()
    total = federation.run(
        vectors,
        lost={"site-06": Step.MASKED},
        tamper=revealing(federation, **{which: last_bit_flipped}),
    )
    assert total.tolist() == summed(federation, vectors, "site-06")
    owner = FIRST if which == "self_shares" else "site-06"
    message = f"its share of site {owner} does not match the commitment"
    assert federation.coordinator.culprits[FIRST] == message


@pytest.mark.parametrize("which", ["self_shares", "pair_shares"])
@pytest.mark.parametrize("change", ["nothing", "one less", "one more"])
def test_reveal_of_too_few_or_too_many_shares_is_refused(which: str, change: str) -> None:
    federation = Federation(5)
    of: dict[str, Callable[[bytes], bytes]] = {
        "nothing": lambda _: b"",
        "one less": lambda openings: openings[OPENING_BYTES:],
        "one more": lambda openings: openings + openings[:OPENING_BYTES],
    }
    with pytest.raises(QuorumLost, match="step unmask: 3 of 5 sites are left, 4 are needed"):
        federation.run(
            federation.vectors(),
            lost={"site-04": Step.MASKED},
            tamper=revealing(federation, **{which: of[change]}),
        )
    assert "pieces of 98 bytes, got" in federation.coordinator.culprits[FIRST]
    check_masked(federation)
