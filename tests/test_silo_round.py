"""What one silo refuses, whoever the coordinator claims to be."""

from dataclasses import replace

import numpy as np
import pytest

from protocol.encoding import blob_digest, digest, digest_json
from protocol.errors import MessageRefused, OutOfOrder, QuorumLost, StoreBroken
from protocol.forms import to_json
from protocol.identity import COORDINATOR, SigningKey
from protocol.messages import (
    ENTRY_BYTES,
    AdvertList,
    Consistency,
    Reveal,
    SenderList,
    ShareHeader,
    SignatureList,
    SurvivorList,
    sign_message,
)
from protocol.sealed_shares import SiloSecrets
from protocol.shares import OPENING_BYTES
from protocol.silo_round import SiloRound, opened_context
from protocol.sum_round import Step
from tests.sum_federation import FIRST, LEDGER_HEAD, STEPS, Federation, MemoryBook, reached


def adverts_of(federation: Federation) -> dict[str, bytes]:
    return dict(federation.opened_request(Step.SHARE, AdvertList).adverts)


def test_silo_refuses_a_substituted_advert() -> None:
    federation = reached(Step.SHARE)
    adverts = adverts_of(federation)
    adverts["site-01"] = sign_message(
        federation.silos["site-01"]._secrets.advert(),  # type: ignore[union-attr]
        context=federation.context.digest,
        sender="site-01",
        key=federation.coordinator_key,
    )
    with pytest.raises(MessageRefused, match="not valid for this key"):
        federation.silos[FIRST].share(federation.from_coordinator(AdvertList(adverts=adverts)))


def test_silo_refuses_an_advert_under_another_members_name() -> None:
    federation = reached(Step.SHARE)
    adverts = adverts_of(federation)
    adverts["site-01"] = adverts["site-02"]
    with pytest.raises(MessageRefused, match="is not from site-01"):
        federation.silos[FIRST].share(federation.from_coordinator(AdvertList(adverts=adverts)))


def test_silo_refuses_a_reflected_key() -> None:
    federation = reached(Step.SHARE)
    adverts = adverts_of(federation)
    own = federation.silos["site-02"]._secrets
    assert own is not None
    adverts["site-01"] = federation.from_site("site-01", own.advert())
    with pytest.raises(MessageRefused, match="the same public key"):
        federation.silos[FIRST].share(federation.from_coordinator(AdvertList(adverts=adverts)))


def test_silo_refuses_a_second_advert_of_its_own() -> None:
    federation = reached(Step.SHARE)
    adverts = adverts_of(federation)
    other = SiloSecrets.fresh(federation.context, FIRST).advert()
    adverts[FIRST] = federation.from_site(FIRST, other)
    with pytest.raises(MessageRefused, match="another advert than this silo's own"):
        federation.silos[FIRST].share(federation.from_coordinator(AdvertList(adverts=adverts)))


def test_silo_refuses_a_sybil_in_u1() -> None:
    federation = reached(Step.SHARE)
    adverts = adverts_of(federation)
    adverts["sybil"] = adverts["site-01"]
    with pytest.raises(MessageRefused, match="U1 names sybil, which was not in the step before"):
        federation.silos[FIRST].share(federation.from_coordinator(AdvertList(adverts=adverts)))


def test_silo_refuses_u1_without_itself_or_below_the_threshold() -> None:
    federation = reached(Step.SHARE)
    silo, adverts = federation.silos[FIRST], adverts_of(federation)
    others = {site: wire for site, wire in adverts.items() if site != FIRST}
    few = {site: adverts[site] for site in federation.sites[:3]}
    for wrong, message in ((others, "leaves this silo out"), (few, "3 sites, 4 are needed")):
        with pytest.raises(MessageRefused, match=message):
            silo.share(federation.from_coordinator(AdvertList(adverts=wrong)))


def test_silo_accepts_one_u1_and_seals_once() -> None:
    federation = reached(Step.SHARE)
    silo, adverts = federation.silos[FIRST], adverts_of(federation)
    bundle = silo.share(federation.request(Step.SHARE))
    fewer = {site: adverts[site] for site in federation.sites[:4]}
    with pytest.raises(MessageRefused, match="another U1 was accepted before"):
        silo.share(federation.from_coordinator(AdvertList(adverts=fewer)))
    assert silo.share(federation.request(Step.SHARE)) == bundle


def headers_of(federation: Federation) -> dict[str, bytes]:
    return dict(federation.opened_request(Step.MASKED, SenderList).headers)


def swap(entries: bytes, first: int, second: int) -> bytes:
    """Returns the entries with one in the place of another."""
    parts = [entries[i : i + ENTRY_BYTES] for i in range(0, len(entries), ENTRY_BYTES)]
    parts[first] = parts[second]
    return b"".join(parts)


def test_silo_refuses_shares_made_for_another_or_left_out() -> None:
    federation = reached(Step.MASKED)
    silo, headers, entries = federation.silos[FIRST], headers_of(federation), federation.entries()
    few = {site: headers[site] for site in federation.sites[:3]}
    for named, delivered, message in (
        (headers, swap(entries, 1, 2), "site site-01: its entry is not the one it signed"),
        (headers, entries[:-1], "expected 5 pieces of 276 bytes"),
        (headers, entries + bytes(ENTRY_BYTES), "expected 5 pieces of 276 bytes"),
        (few, entries[: 3 * ENTRY_BYTES], "U2 has 3 sites, 4 are needed"),
    ):
        with pytest.raises(MessageRefused, match=message):
            silo.accept_shares(federation.from_coordinator(SenderList(headers=named)), delivered)


def test_silo_refuses_a_second_header_of_its_own() -> None:
    federation = reached(Step.MASKED)
    headers = headers_of(federation)
    header = federation.opened_answer(headers[FIRST], ShareHeader, FIRST)
    other = federation.from_site(FIRST, replace(header, entries=bytes(160)))
    wrong = federation.from_coordinator(SenderList(headers={**headers, FIRST: other}))
    with pytest.raises(MessageRefused, match="another header than this silo's own"):
        federation.silos[FIRST].accept_shares(wrong, federation.entries())


def test_silo_refuses_shares_of_a_member_that_was_told_another_u1() -> None:
    federation = reached(Step.MASKED)
    headers = headers_of(federation)
    header = federation.opened_answer(headers["site-01"], ShareHeader, "site-01")
    other = federation.from_site("site-01", replace(header, adverts="0" * 64))
    wrong = federation.from_coordinator(SenderList(headers={**headers, "site-01": other}))
    with pytest.raises(MessageRefused, match="site site-01: it used other adverts"):
        federation.silos[FIRST].accept_shares(wrong, federation.entries())


def test_silo_accepts_one_u2() -> None:
    federation = reached(Step.MASKED)
    silo, headers, entries = federation.silos[FIRST], headers_of(federation), federation.entries()
    silo.accept_shares(federation.request(Step.MASKED), entries)
    fewer = SenderList(headers={site: headers[site] for site in federation.sites[:4]})
    with pytest.raises(MessageRefused, match="another U2 was accepted before"):
        silo.accept_shares(federation.from_coordinator(fewer), entries[: 4 * ENTRY_BYTES])
    silo.accept_shares(federation.request(Step.MASKED), entries)


def test_silo_masks_one_vector() -> None:
    federation = reached(Step.MASKED)
    silo, vector = federation.silos[FIRST], federation.vectors()[FIRST]
    silo.accept_shares(federation.request(Step.MASKED), federation.entries())
    silo.mask(vector)
    with pytest.raises(OutOfOrder, match="a vector was masked already"):
        silo.mask(vector)


def test_silo_names_one_ledger_head() -> None:
    federation = reached(Step.CONSISTENCY)
    silo = federation.silos[FIRST]
    silo.masked_message(ledger_head=LEDGER_HEAD)
    with pytest.raises(MessageRefused, match="masked-message was done differently"):
        silo.masked_message(ledger_head="8" * 64)
    with pytest.raises(ValueError, match="ledger_head: expected text"):
        silo.masked_message(ledger_head="")


def survivors_of(federation: Federation, *sites: str) -> bytes:
    hashes = federation.coordinator.blob_hashes
    return federation.from_coordinator(SurvivorList(blobs={site: hashes[site] for site in sites}))


def test_silo_signs_one_u3() -> None:
    federation = reached(Step.CONSISTENCY)
    silo, sites = federation.silos[FIRST], federation.sites
    signed = silo.confirm(survivors_of(federation, *sites))
    with pytest.raises(MessageRefused, match="consistency was done differently"):
        silo.confirm(survivors_of(federation, *sites[:4]))
    assert silo.confirm(survivors_of(federation, *sites)) == signed


def test_silo_refuses_u3_without_itself_below_the_threshold_or_with_another_blob() -> None:
    federation = reached(Step.CONSISTENCY)
    silo, sites = federation.silos[FIRST], federation.sites
    hashes = dict(federation.coordinator.blob_hashes)
    for blobs, message in (
        ({site: hashes[site] for site in sites[1:]}, "U3 leaves this silo out"),
        ({site: hashes[site] for site in sites[:3]}, "U3 has 3 sites, 4 are needed"),
        ({**hashes, FIRST: "0" * 64}, "another blob than the one this silo sent"),
        ({**hashes, "sybil": "0" * 64}, "U3 names sybil"),
    ):
        with pytest.raises(MessageRefused, match=message):
            silo.confirm(federation.from_coordinator(SurvivorList(blobs=blobs)))


def signatures_of(federation: Federation) -> dict[str, bytes]:
    return dict(federation.opened_request(Step.UNMASK, SignatureList).signatures)


def test_silo_reveals_nothing_below_the_threshold_of_signatures() -> None:
    federation = reached(Step.UNMASK)
    signatures = signatures_of(federation)
    few = {site: signatures[site] for site in federation.sites[:3]}
    request = federation.from_coordinator(SignatureList(signatures=few))
    with pytest.raises(MessageRefused, match="3 signatures on U3, 4 are needed"):
        federation.silos[FIRST].reveal(request)


def test_equivocating_coordinator_unmasks_nobody() -> None:
    # It tells two silos that site-04 dropped out, and the other three that it did not.
    federation = reached(Step.CONSISTENCY)
    sites = federation.sites
    told = {site: sites[:4] if site in sites[:2] else sites for site in sites}
    signed = {
        site: federation.silos[site].confirm(survivors_of(federation, *told[site]))
        for site in sites
    }
    for site in sites:
        same = {s: wire for s, wire in signed.items() if told[s] == told[site]}
        short = federation.from_coordinator(SignatureList(signatures=same))
        with pytest.raises(MessageRefused, match="signatures on U3, 4 are needed"):
            federation.silos[site].reveal(short)
        mixed = {s: wire for s, wire in signed.items() if s in told[site]}
        with pytest.raises(MessageRefused, match="signed another U1, U2 or U3"):
            federation.silos[site].reveal(
                federation.from_coordinator(SignatureList(signatures=mixed))
            )


def test_signature_of_nobody_in_u3_or_forged_is_refused() -> None:
    federation = reached(Step.UNMASK)
    signatures = signatures_of(federation)
    forged = {**signatures, "site-01": signatures["site-02"]}
    for wrong, message in (
        ({**signatures, "sybil": signatures["site-01"]}, "sybil signed but is not in U3"),
        (forged, "is not from site-01"),
    ):
        request = federation.from_coordinator(SignatureList(signatures=wrong))
        with pytest.raises(MessageRefused, match=message):
            federation.silos[FIRST].reveal(request)


def test_reveal_holds_one_share_for_every_sender_and_never_changes() -> None:
    federation = Federation(5)
    vectors = federation.vectors()
    for step in STEPS[:-1]:
        absent = frozenset({"site-04"}) if step is Step.MASKED else frozenset()
        federation.play(step, vectors, absent=absent)
    silo, request = federation.silos[FIRST], federation.request(Step.UNMASK)
    wire = silo.reveal(request)
    reveal = federation.opened_answer(wire, Reveal, FIRST)
    assert len(reveal.self_shares) == 4 * OPENING_BYTES
    assert len(reveal.pair_shares) == 1 * OPENING_BYTES
    assert silo.reveal(request) == wire


def test_secrets_are_dropped_when_they_have_served() -> None:
    federation = reached(Step.UNMASK)
    silo = federation.silos[FIRST]
    assert silo._secrets is None
    assert silo._dealt is None
    silo.reveal(federation.request(Step.UNMASK))
    assert not silo._openings


def test_restarted_silo_drops_out_instead_of_making_a_second_mask() -> None:
    federation = reached(Step.MASKED)
    with pytest.raises(MessageRefused, match="advert was done differently before"):
        federation.silo(FIRST).advertise()


class FullDisk(MemoryBook):
    """A book that can record everything but one slot."""

    def __init__(self, slot: str) -> None:
        super().__init__()
        self.slot = slot

    def record(self, context: str, slot: str, digest: str) -> None:
        if slot == self.slot:
            raise StoreBroken(f"the disk is full: {slot}")
        super().record(context, slot, digest)


@pytest.mark.parametrize(
    ("slot", "leaves"),
    [
        ("context", None),
        ("advert", None),
        ("adverts", Step.ADVERTISE),
        ("share", Step.ADVERTISE),
        ("senders", Step.SHARE),
        ("masked", Step.SHARE),
        ("masked-message", Step.SHARE),
        ("consistency", Step.MASKED),
        ("reveal", Step.CONSISTENCY),
    ],
)
def test_nothing_leaves_that_is_not_in_the_book(slot: str, leaves: Step | None) -> None:
    federation = Federation(5)
    federation.books[FIRST] = FullDisk(slot)
    federation.begin()
    left: list[Step] = []

    def watch(
        step: Step, site: str, message: bytes, blob: bytes | None
    ) -> tuple[bytes, bytes | None]:
        if site == FIRST:
            left.append(step)
        return message, blob

    federation.run(federation.vectors(), tamper=watch)
    assert (left[-1] if left else None) is leaves
    assert federation.refusals[FIRST] == f"the disk is full: {slot}"


def test_book_holds_the_digest_of_what_left() -> None:
    federation = Federation(3)
    sent: list[bytes] = []

    def watch(
        _step: Step, site: str, message: bytes, blob: bytes | None
    ) -> tuple[bytes, bytes | None]:
        if site == FIRST:
            sent.extend((message, blob or b""))
        return message, blob

    federation.run(federation.vectors(), tamper=watch)
    booked = set(federation.books[FIRST].entries.values())
    advert, header, _, masked, blob, consistency, reveal = (part for part in sent if part)
    assert {digest(part) for part in (advert, header, masked, reveal)} <= booked
    assert blob_digest(blob) in booked
    statement = federation.opened_answer(consistency, Consistency, FIRST)
    assert digest_json(to_json(statement)) in booked


def test_second_context_for_one_attempt_is_refused() -> None:
    federation = reached(Step.SHARE)
    federation.begin(model_hash="a" * 64)
    with pytest.raises(MessageRefused, match="context was done differently before"):
        federation.silos[FIRST].advertise()


def test_request_of_another_context_is_refused() -> None:
    federation = reached(Step.SHARE)
    replayed = federation.request(Step.SHARE)
    federation.begin(attempt=1)
    federation.silos[FIRST].advertise()
    with pytest.raises(MessageRefused, match="belongs to another context"):
        federation.silos[FIRST].share(replayed)


def test_request_of_a_stranger_is_refused() -> None:
    federation = reached(Step.SHARE)
    adverts = AdvertList(adverts=adverts_of(federation))
    request = sign_message(
        adverts,
        context=federation.context.digest,
        sender=COORDINATOR,
        key=SigningKey.generate(),
    )
    with pytest.raises(MessageRefused, match="not valid for this key"):
        federation.silos[FIRST].share(request)


def test_steps_out_of_order_are_refused() -> None:
    federation = Federation(4)
    silo, vector = federation.silos[FIRST], federation.vectors()[FIRST]
    for act, first in (
        (lambda: silo.share(b""), "advertise"),
        (lambda: silo.accept_shares(b"", b""), "share"),
        (lambda: silo.mask(vector), "accept_shares"),
        (lambda: silo.masked_message(ledger_head=LEDGER_HEAD), "mask"),
        (lambda: silo.confirm(b""), "mask"),
        (lambda: silo.reveal(b""), "confirm"),
        (lambda: silo.complaint(), "a refused delivery"),
    ):
        with pytest.raises(OutOfOrder, match=f"{first} comes first"):
            act()


def test_message_of_another_step_is_refused() -> None:
    federation = reached(Step.CONSISTENCY)
    wrong = federation.from_coordinator(SignatureList(signatures={}))
    with pytest.raises(OutOfOrder, match="expected a survivor-list message, got signature-list"):
        federation.silos[FIRST].confirm(wrong)


def test_vector_of_another_form_is_a_mistake() -> None:
    federation = reached(Step.MASKED)
    silo = federation.silos[FIRST]
    silo.accept_shares(federation.request(Step.MASKED), federation.entries())
    for vector in (np.zeros(4, np.uint32), np.zeros(5, np.uint64), np.zeros((1, 5), np.uint32)):
        with pytest.raises(ValueError, match=r"expected \(5,\) uint32"):
            silo.mask(vector)
    assert len(silo.mask(np.zeros(5, np.uint32))) == 20


def test_context_travels_in_the_opening() -> None:
    federation = Federation(4)
    wire = federation.coordinator.request(Step.ADVERTISE, FIRST)
    assert opened_context(wire, federation.coordinator_key.public) == federation.context
    with pytest.raises(MessageRefused, match="not valid for this key"):
        opened_context(wire, SigningKey.generate().public)


def test_opening_under_another_contexts_name_is_refused() -> None:
    federation = Federation(4)
    data = federation.coordinator.request(Step.ADVERTISE, FIRST)[64:]
    data = data.replace(federation.context.digest.encode(), b"0" * 64)
    wire = federation.coordinator_key.sign("round-open", data) + data
    with pytest.raises(MessageRefused, match="belongs to another context"):
        opened_context(wire, federation.coordinator_key.public)


def test_silo_outside_cohort_or_roster_is_refused() -> None:
    federation = Federation(4)

    def silo(site: str, key: SigningKey, **changes: object) -> SiloRound:
        return SiloRound(
            context=replace(federation.context, **changes),  # type: ignore[arg-type]
            site=site,
            key=key,
            roster=federation.roster,
            coordinator_public=federation.coordinator_key.public,
            book=MemoryBook(),
        )

    own = federation.keys[FIRST]
    for arguments, changes, message in (
        ((FIRST, own), {"roster_digest": "0" * 64}, "another roster than the pinned one"),
        (("stranger", own), {}, "stranger is not in this cohort"),
        ((FIRST, SigningKey.generate()), {}, "another key for site site-00"),
        ((FIRST, own), {"cohort": ("site-00", "site-01", "site-02", "sybil")}, "'sybil' is not"),
    ):
        with pytest.raises(MessageRefused, match=message):
            silo(*arguments, **changes)


def test_silo_keeps_its_own_minimum_cohort() -> None:
    federation = reached(Step.SHARE)
    silo = SiloRound(
        context=federation.context,
        site=FIRST,
        key=federation.keys[FIRST],
        roster=federation.roster,
        coordinator_public=federation.coordinator_key.public,
        book=MemoryBook(),
        min_cohort=6,
    )
    adverts = {**adverts_of(federation), FIRST: silo.advertise()}
    with pytest.raises(MessageRefused, match="U1 has 5 sites, 6 are needed"):
        silo.share(federation.from_coordinator(AdvertList(adverts=adverts)))


def test_two_survivors_are_never_enough() -> None:
    # t = 2 is sound for C = 0, yet a sum of two shows each hospital the other's update.
    federation = Federation(3, {"threshold": 2, "colluders": 0})
    with pytest.raises(QuorumLost, match="2 of 3 sites are left, 3 are needed"):
        federation.run(federation.vectors(), lost={FIRST: Step.MASKED})
