"""What the coordinator refuses, whom it names, and that the sum stays right."""

import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from protocol.encoding import blob_digest, digest
from protocol.errors import MessageRefused, OutOfOrder, QuorumLost
from protocol.keystream import Words
from protocol.messages import (
    Complaint,
    Consistency,
    Masked,
    Reveal,
    ShareHeader,
    digest_of_blobs,
)
from protocol.shares import OPENING_BYTES, SHARE_BYTES
from protocol.sum_round import Step, SumRound
from tests.contexts import context_of
from tests.reference.secure_sum import plain_sum
from tests.sum_federation import FIRST, LEDGER_HEAD, STEPS, Federation, Tamper, reached


def summed(federation: Federation, vectors: Mapping[str, Words], *without: str) -> list[int]:
    """Returns what must come out when these sites are not in the sum."""
    inside = [vectors[site].tolist() for site in federation.sites if site not in without]
    return plain_sum(inside, 32)


def at(step: Step, site: str, change: Tamper) -> Tamper:
    """Returns a tamper hook that acts on one answer only."""

    def tamper(
        now: Step, who: str, message: bytes, blob: bytes | None
    ) -> tuple[bytes, bytes | None]:
        return change(now, who, message, blob) if (now, who) == (step, site) else (message, blob)

    return tamper


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (None, "expected a blob of 20 bytes"),
        (bytes(19), "expected a blob of 20 bytes"),
        (bytes(24), "expected a blob of 20 bytes"),
        (bytes(20), "not the one it signed"),
    ],
)
def test_wrong_blob_is_refused_and_its_site_named(wrong: bytes | None, message: str) -> None:
    federation = Federation(4)
    vectors = federation.vectors()
    tamper = at(Step.MASKED, FIRST, lambda _step, _site, wire, _blob: (wire, wrong))
    total = federation.run(vectors, tamper=tamper)
    assert total.tolist() == summed(federation, vectors, FIRST)
    assert message in federation.coordinator.culprits[FIRST]
    assert federation.coordinator.dropped == (FIRST,)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.value)
def test_unsigned_answer_is_refused_and_its_site_named(step: Step) -> None:
    federation = Federation(4)
    vectors = federation.vectors()
    tamper = at(step, FIRST, lambda _step, _site, wire, blob: (bytes(64) + wire[64:], blob))
    if step is Step.SHARE:  # its bundle is not signed itself: spoil the header inside
        tamper = at(step, FIRST, spoilt_header)
    total = federation.run(vectors, tamper=tamper)
    lost = () if step in (Step.CONSISTENCY, Step.UNMASK) else (FIRST,)
    assert total.tolist() == summed(federation, vectors, *lost)
    assert "not valid for this key" in federation.coordinator.culprits[FIRST]


def spoilt_header(
    _step: Step, _site: str, wire: bytes, blob: bytes | None
) -> tuple[bytes, bytes | None]:
    return bytes(64) + wire[64:], blob


def sealed_garbage(federation: Federation, victim: str) -> Tamper:
    """A dealer that signs an entry nobody can open."""

    def change(
        _step: Step, site: str, wire: bytes, blob: bytes | None
    ) -> tuple[bytes, bytes | None]:
        assert blob is not None
        entries = [blob[i : i + 276] for i in range(0, len(blob), 276)]
        place = federation.sites.index(victim)
        entries[place] = entries[place][:64] + secrets.token_bytes(212)
        silo = federation.silos[site]
        assert silo._adverts is not None
        header = ShareHeader(
            adverts=silo._adverts.digest,
            entries=b"".join(bytes.fromhex(digest(entry)) for entry in entries),
        )
        silo._header = federation.from_site(site, header)
        return silo._header, b"".join(entries)

    return change


def test_garbage_ciphertext_is_named_by_the_silo_that_got_it() -> None:
    federation = Federation(4)
    vectors = federation.vectors()
    victim = "site-02"
    federation.play(Step.ADVERTISE, vectors)
    federation.play(
        Step.SHARE, vectors, tamper=at(Step.SHARE, FIRST, sealed_garbage(federation, victim))
    )
    request = federation.coordinator.request(Step.MASKED, victim)
    with pytest.raises(MessageRefused, match=f"site {FIRST}: the sealed shares cannot be opened"):
        federation.silos[victim].accept_shares(request, federation.entries(victim))
    complaint = federation.silos[victim].complaint()
    with pytest.raises(MessageRefused, match=f"{victim} takes no part: it complains about {FIRST}"):
        federation.coordinator.receive(Step.MASKED, victim, complaint)
    for step in STEPS[2:]:
        federation.play(step, vectors, absent=frozenset({victim}))
    expected = summed(federation, vectors, victim)
    assert federation.coordinator.total().tolist() == expected
    assert dict(federation.coordinator.culprits) == {
        FIRST: f"site {victim} could not use its shares"
    }


def test_complaint_about_oneself_or_a_stranger_is_refused() -> None:
    federation = reached(Step.MASKED, 4)
    for against in (FIRST, "sybil"):
        wire = federation.from_site(FIRST, Complaint(against=against))
        with pytest.raises(MessageRefused, match="complains about nobody"):
            federation.coordinator.receive(Step.MASKED, FIRST, wire)
    assert not federation.coordinator.culprits


def test_wrong_share_is_named_and_the_sum_stays_exact() -> None:
    federation = Federation(4)
    vectors = federation.vectors()

    def change(
        _step: Step, site: str, wire: bytes, blob: bytes | None
    ) -> tuple[bytes, bytes | None]:
        reveal = federation.opened_answer(wire, Reveal, site)
        openings = bytearray(reveal.self_shares)
        openings[OPENING_BYTES + SHARE_BYTES - 1] ^= 1  # the last bit of site-01's share
        lie = replace(reveal, self_shares=bytes(openings))
        return federation.from_site(site, lie), blob

    total = federation.run(vectors, tamper=at(Step.UNMASK, FIRST, change))
    assert total.tolist() == summed(federation, vectors)
    assert "its share of site site-01 does not match" in federation.coordinator.culprits[FIRST]


@pytest.mark.parametrize("which", ["self_shares", "pair_shares"])
def test_incomplete_reveal_is_refused(which: str) -> None:
    federation = Federation(5)
    vectors = federation.vectors()

    def change(
        _step: Step, site: str, wire: bytes, blob: bytes | None
    ) -> tuple[bytes, bytes | None]:
        reveal = federation.opened_answer(wire, Reveal, site)
        return federation.from_site(site, replace(reveal, **{which: b""})), blob

    with pytest.raises(QuorumLost, match="3 of 5 sites are left, 4 are needed"):
        federation.run(
            vectors, lost={"site-04": Step.MASKED}, tamper=at(Step.UNMASK, FIRST, change)
        )
    assert "pieces of 98 bytes, got 0" in federation.coordinator.culprits[FIRST]


@pytest.mark.parametrize("which", ["self_secret", "pair_secret"])
def test_dealer_of_wrong_shares_is_named_and_the_sum_stays_masked(which: str) -> None:
    federation = Federation(5)
    vectors = federation.vectors()
    federation.play(Step.ADVERTISE, vectors)
    liar = federation.silos[FIRST]
    assert liar._secrets is not None
    true = liar._secrets
    lie: dict[str, Any] = {which: secrets.token_bytes(32)}
    liar._secrets = replace(true, **lie)
    federation.play(Step.SHARE, vectors)
    liar._secrets = true
    lost = frozenset({FIRST}) if which == "pair_secret" else frozenset()
    for step in STEPS[2:4]:
        federation.play(step, vectors, absent=lost)
    with pytest.raises(QuorumLost, match=f"the shares of {FIRST} do not unmask the sum"):
        federation.play(Step.UNMASK, vectors, absent=lost)
    assert set(federation.coordinator.culprits) == {FIRST}
    with pytest.raises(OutOfOrder, match="the sum is still masked"):
        federation.coordinator.total()


@pytest.mark.parametrize("key", ["mask_public", "share_public"])
def test_advert_with_an_unusable_or_copied_key_is_named(key: str) -> None:
    federation = Federation(4)
    advert = federation.silos["site-01"]
    federation.coordinator.receive(Step.ADVERTISE, "site-01", advert.advertise())
    own, taken = federation.silos[FIRST], federation.silos["site-01"]._secrets
    own.advertise()
    assert own._secrets is not None and taken is not None
    true = own._secrets.advert()
    for wrong, message in (
        (bytes(32), "not a usable point"),
        (taken.advert().mask_public, "already taken"),
    ):
        lie = federation.from_site(FIRST, replace(true, **{key: wrong}))
        with pytest.raises(MessageRefused, match=message):
            federation.coordinator.receive(Step.ADVERTISE, FIRST, lie)
    assert "not a usable point" in federation.coordinator.culprits[FIRST]


def test_header_over_other_adverts_is_refused() -> None:
    federation = Federation(4)
    vectors = federation.vectors()
    federation.play(Step.ADVERTISE, vectors)
    header, entries = federation.silos[FIRST].share(federation.request(Step.SHARE))
    wrong = federation.from_site(FIRST, ShareHeader(adverts="0" * 64, entries=bytes(32 * 4)))
    with pytest.raises(MessageRefused, match="site site-00: it used other adverts"):
        federation.coordinator.receive(Step.SHARE, FIRST, wrong, entries)
    swapped = entries[276:] + entries[:276]
    with pytest.raises(MessageRefused, match="its entries are not the ones it signed"):
        federation.coordinator.receive(Step.SHARE, FIRST, header, swapped)
    with pytest.raises(MessageRefused, match="expected 4 pieces of 276 bytes, got 0 bytes"):
        federation.coordinator.receive(Step.SHARE, FIRST, header)


def test_second_answer_that_differs_is_refused() -> None:
    federation = reached(Step.MASKED, 4)
    vectors = federation.vectors()
    request = federation.request(Step.MASKED)
    message, blob = federation.answer(Step.MASKED, FIRST, request, vectors[FIRST])
    federation.coordinator.receive(Step.MASKED, FIRST, message, blob)
    other = bytes(20)
    second = federation.from_site(FIRST, Masked(blob=blob_digest(other), ledger_head=LEDGER_HEAD))
    with pytest.raises(MessageRefused, match="has answered step masked differently"):
        federation.coordinator.receive(Step.MASKED, FIRST, second, other)


def test_signature_on_another_round_is_named() -> None:
    federation = reached(Step.CONSISTENCY, 4)
    statement = Consistency(adverts="0" * 64, senders="0" * 64, survivors=digest_of_blobs({}))
    wire = federation.from_site(FIRST, statement)
    with pytest.raises(MessageRefused, match="site site-00: it signed another U1, U2 or U3"):
        federation.coordinator.receive(Step.CONSISTENCY, FIRST, wire)


def test_coordinator_keeps_the_order_of_steps() -> None:
    federation = reached(Step.SHARE, 4)
    coordinator = federation.coordinator
    for act in (
        lambda: coordinator.asked(Step.MASKED),
        lambda: coordinator.request(Step.ADVERTISE, FIRST),
        lambda: coordinator.receive(Step.UNMASK, FIRST, b""),
        lambda: coordinator.close(Step.CONSISTENCY),
    ):
        with pytest.raises(OutOfOrder, match="is not due: the round is at share"):
            act()
    with pytest.raises(OutOfOrder, match="the sum is still masked"):
        coordinator.total()
    with pytest.raises(OutOfOrder, match="site sybil has no part in step share"):
        coordinator.request(Step.SHARE, "sybil")


def test_late_answer_of_a_dropped_site_is_refused() -> None:
    federation = Federation(4)
    vectors = federation.vectors()
    late = federation.silos[FIRST].advertise()
    federation.play(Step.ADVERTISE, vectors, absent=frozenset({FIRST}))
    with pytest.raises(OutOfOrder, match="is not due"):
        federation.coordinator.receive(Step.ADVERTISE, FIRST, late)
    with pytest.raises(OutOfOrder, match="site site-00 has no part in step share"):
        federation.coordinator.receive(Step.SHARE, FIRST, late)


def test_lost_round_stays_over() -> None:
    federation = Federation(3)
    with pytest.raises(QuorumLost, match="step advertise: 0 of 3 sites are left, 3 are needed"):
        federation.coordinator.close(Step.ADVERTISE)
    with pytest.raises(OutOfOrder, match="the round is at over"):
        federation.coordinator.asked(Step.ADVERTISE)


def test_coordinator_needs_the_roster_of_the_context() -> None:
    federation = Federation(3)
    with pytest.raises(MessageRefused, match="the context names another roster"):
        SumRound(context=context_of(3), roster=federation.roster, key=federation.coordinator_key)
