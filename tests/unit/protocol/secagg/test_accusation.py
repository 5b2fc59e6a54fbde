"""An accusation stands on what the accused signed, or says that it does not."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from protocol.errors import MessageRefused, QuorumLost
from protocol.identity.roster import SigningKey
from protocol.secagg.evidence.accusation import Accusation, Verdict, judge, parse_accusation
from protocol.secagg.messages import Advertise, Complaint, Consistency, Reveal, ShareHeader
from protocol.secagg.secret_sharing import OPENING_BYTES
from protocol.secagg.server import Step
from tests.support.simulated.sum_federation import FIRST, Federation, reached
from tests.system.test_retries import FalseDealer
from tests.unit.protocol.secagg.test_hostile_client import at, last_bit_flipped, revealing


def publics_of(federation: Federation) -> dict[str, bytes]:
    return {site: key.public for site, key in federation.keys.items()}


def only(federation: Federation) -> Accusation:
    (accusation,) = federation.coordinator.accusations
    assert parse_accusation(accusation.canonical_bytes) == accusation
    return accusation


def wrong_keys() -> tuple[Federation, Accusation]:
    federation = Federation(4)
    silo = federation.silos[FIRST]
    silo.advertise()
    assert silo._secrets is not None
    lie = replace(silo._secrets.advert(), mask_public=bytes(32))
    with pytest.raises(MessageRefused):
        federation.coordinator.receive(Step.ADVERTISE, FIRST, federation.from_site(FIRST, lie))
    return federation, only(federation)


def false_reveal(which: str = "self_shares") -> tuple[Federation, Accusation]:
    federation = Federation(7)
    federation.run(
        federation.vectors(),
        lost={"site-06": Step.MASKED},
        tamper=revealing(federation, **{which: last_bit_flipped}),
    )
    return federation, only(federation)


def false_secret() -> tuple[Federation, Accusation]:
    federation = Federation(4)
    honest = federation.silo

    def silo(site: str, **rest: int) -> object:
        kind = FalseDealer if site == FIRST else type(honest(site))
        return kind(
            context=federation.context, site=site, key=federation.keys[site],
            roster=federation.roster, coordinator_public=federation.coordinator_key.public,
            guard=federation.guards[site],
        )  # fmt: skip

    federation.silo = silo  # type: ignore[method-assign,assignment]
    federation.begin()
    with pytest.raises(QuorumLost, match="do not unmask the sum"):
        federation.run(federation.vectors())
    return federation, only(federation)


def complaint() -> tuple[Federation, Accusation]:
    federation = Federation(4)
    lie = federation.from_site(FIRST, Complaint(against="site-01"))
    federation.run(federation.vectors(), tamper=at(Step.MASKED, lambda *_: (lie, None)))
    return federation, only(federation)


def other_survivors() -> tuple[Federation, Accusation]:
    federation = Federation(4)

    def change(wire: bytes, blob: bytes | None) -> tuple[bytes, bytes | None]:
        true = federation.opened_answer(wire, Consistency, FIRST)
        return federation.from_site(FIRST, replace(true, survivors="0" * 64)), blob

    federation.run(federation.vectors(), tamper=at(Step.CONSISTENCY, change))
    return federation, only(federation)


Make = Callable[[], tuple[Federation, Accusation]]
PROVEN: dict[str, Make] = {"keys": wrong_keys, "reveal": false_reveal, "secret": false_secret}


@pytest.mark.parametrize("kind", PROVEN)
def test_what_the_accused_signed_convicts_it(kind: str) -> None:
    federation, accusation = PROVEN[kind]()
    assert (accusation.kind, accusation.against) == (kind, FIRST)
    assert accusation.why == federation.coordinator.culprits[FIRST]
    assert judge(accusation, publics_of(federation)) is Verdict.PROVEN


@pytest.mark.parametrize("which", ["self_shares", "pair_shares"])
def test_a_false_share_convicts_its_holder_whichever_secret_it_is_of(which: str) -> None:
    federation, accusation = false_reveal(which)
    assert accusation.other == (FIRST if which == "self_shares" else "site-06")
    assert judge(accusation, publics_of(federation)) is Verdict.PROVEN


def test_too_few_revealed_shares_convict_without_any_owner() -> None:
    federation = Federation(5)
    tamper = revealing(federation, self_shares=lambda openings: openings[OPENING_BYTES:])
    with pytest.raises(QuorumLost):
        federation.run(federation.vectors(), lost={"site-04": Step.MASKED}, tamper=tamper)
    assert judge(only(federation), publics_of(federation)) is Verdict.PROVEN


def test_a_complaint_is_a_members_word_and_no_more() -> None:
    federation, accusation = complaint()
    assert (accusation.kind, accusation.other, accusation.against) == (
        "complaint", FIRST, "site-01"
    )  # fmt: skip
    assert judge(accusation, publics_of(federation)) is Verdict.ACCUSED


def test_what_the_coordinator_may_have_asked_for_is_its_word_and_no_more() -> None:
    """It can show a hospital other survivors than the rest: what the hospital signs is no lie."""
    federation, accusation = other_survivors()
    assert accusation.kind == "answer"
    assert accusation.messages["answer"]
    assert judge(accusation, publics_of(federation)) is Verdict.CLAIMED


# --- a coordinator that invents --------------------------------------------------------------


def frames(federation: Federation) -> Iterator[tuple[Accusation, str]]:
    """What a coordinator with an honest round's messages in hand may try against a site."""
    witness, context = federation.coordinator._witness, federation.context
    answers = {
        site: federation.silos[site].reveal(federation.request(Step.UNMASK))
        for site in federation.sites
    }
    advert = {Advertise.type: witness.adverts[FIRST]}
    plain = {"context": context, "against": FIRST, "why": "it is said"}
    yield Accusation(kind="keys", messages=advert, **plain), "can be used"  # type: ignore[arg-type]
    witness.accuse(FIRST, answers[FIRST], "it is said")
    assert only(federation).kind == "answer"  # nothing better is borne out
    (reveal,) = (
        case for case in witness._of_reveal(only(federation), answers[FIRST]) if case.other == FIRST
    )
    yield reveal, "is the one that its owner committed to"
    yield replace(reveal, other="site-09"), "the owner of the share sent none"
    yield replace(reveal, blobs={}), "signed other survivors"
    yield replace(reveal, senders={}), "signed other senders"
    yield replace(reveal, adverts={}), "belongs to other adverts"
    yield replace(reveal, entries={FIRST: bytes(276)}), "not the one that its owner signed"
    header = {ShareHeader.type: witness.headers["site-01"]}
    yield (
        replace(reveal, messages={**reveal.messages, **header}),
        "not the one that the accused was sent",
    )
    stranger = federation._signed(
        Reveal(self_shares=b"", pair_shares=b""), FIRST, SigningKey.generate()
    )
    yield (
        replace(reveal, messages={**reveal.messages, Reveal.type: stranger}),
        "not valid for this key",
    )
    del witness.accusations[:]
    witness.accuse_dealer(FIRST, answers, "it is said")
    assert only(federation).kind == "answer"
    secret = replace(
        reveal, kind="secret", other=None, messages={**reveal.messages, **advert},
        openings={s: witness._opening(FIRST, s, answers[s]) for s in federation.sites[:3]},
        entries={s: witness.entries[FIRST][s] for s in federation.sites[:3]},
    )  # fmt: skip
    yield secret, "give the secret that was advertised"
    less = dict(list(secret.openings.items())[:2])
    yield replace(secret, openings=less), "too few shares"
    flipped = {site: last_bit_flipped(opening) for site, opening in secret.openings.items()}
    yield replace(secret, openings=flipped), "not the ones that their owner committed to"
    lie = {"complaint": federation.from_site("site-01", Complaint(against="site-02"))}
    accused = Accusation(kind="complaint", other="site-01", messages=lie, **plain)  # type: ignore[arg-type]
    yield accused, "about another site"
    yield replace(accused, other="site-02"), "not from site-02"
    yield replace(accused, other=None), "the evidence lacks the complaint message of ?"


def test_an_honest_site_cannot_be_convicted_of_what_it_never_did() -> None:
    federation = reached(Step.UNMASK, 4)
    publics, tried = publics_of(federation), 0
    for accusation, message in frames(federation):
        with pytest.raises(MessageRefused, match=message):
            judge(accusation, publics)
        tried += 1
    assert tried == 15


@pytest.mark.parametrize("kind", PROVEN)
def test_evidence_of_another_round_convicts_nobody(kind: str) -> None:
    federation, accusation = PROVEN[kind]()
    other = replace(accusation, context=replace(accusation.context, attempt=7))
    with pytest.raises(MessageRefused, match="belongs to another context"):
        judge(other, publics_of(federation))


@pytest.mark.parametrize("kind", PROVEN)
def test_evidence_against_one_does_not_convict_another(kind: str) -> None:
    federation, accusation = PROVEN[kind]()
    with pytest.raises(MessageRefused):
        judge(replace(accusation, against="site-01"), publics_of(federation))
