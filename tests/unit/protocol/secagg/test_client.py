"""One silo's state machine: what it does once, in which order, what it keeps and what it drops."""

import numpy as np
import pytest

from protocol.codec import to_json
from protocol.encoding import blob_digest, digest, digest_json
from protocol.errors import MessageRefused, OutOfOrder, StoreBroken
from protocol.identity.roster import SigningKey
from protocol.secagg.client import Binding, opened_round
from protocol.secagg.messages import (
    Consistency,
    Reveal,
    SignatureList,
)
from protocol.secagg.secret_sharing import OPENING_BYTES
from protocol.secagg.server import Step
from tests.support.simulated.sum_federation import (
    FIRST,
    LEDGER_HEAD,
    STEPS,
    Federation,
    MemoryGuard,
    reached,
)


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


class FullDisk(MemoryGuard):
    """A book that can record everything but one slot."""

    def __init__(self, slot: str) -> None:
        super().__init__()
        self.slot = slot

    def record(self, *bindings: Binding) -> None:
        if self.slot in {slot.split("/")[0] for _, slot, _ in bindings}:
            raise StoreBroken(f"the disk is full: {self.slot}")
        super().record(*bindings)


@pytest.mark.parametrize(
    ("slot", "leaves"),
    [
        ("context", None),
        ("advert", None),
        ("adverts", Step.ADVERTISE),
        ("share", Step.ADVERTISE),
        ("senders", Step.SHARE),
        ("masked", Step.SHARE),
        ("vector", Step.SHARE),
        ("model", Step.SHARE),
        ("masked-message", Step.SHARE),
        ("consistency", Step.MASKED),
        ("reveal", Step.CONSISTENCY),
        ("survivors", Step.CONSISTENCY),
    ],
)
def test_nothing_leaves_that_is_not_in_the_book(slot: str, leaves: Step | None) -> None:
    federation = Federation(5)
    federation.guards[FIRST] = FullDisk(slot)
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
    booked = set(federation.guards[FIRST].entries.values())
    advert, header, _, masked, blob, consistency, reveal = (part for part in sent if part)
    assert {digest(part) for part in (advert, header, masked, reveal)} <= booked
    assert blob_digest(blob) in booked
    statement = federation.opened_answer(consistency, Consistency, FIRST)
    assert digest_json(to_json(statement)) in booked


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
    assert opened_round(wire, federation.coordinator_key.public).context == federation.context
    with pytest.raises(MessageRefused, match="not valid for this key"):
        opened_round(wire, SigningKey.generate().public)
