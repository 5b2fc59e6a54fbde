"""Targets around the wire of a round: messages, shares, and both state machines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, TypeAlias

from protocol.codec import to_json
from protocol.encoding import blob_digest, canonical, digest_json, parse_canonical
from protocol.errors import MessageRefused, QuorumLost, SumRefused
from protocol.identity.roster import COORDINATOR, SigningKey
from protocol.secagg.client import SecAggClient, opened_round
from protocol.secagg.masking import seal
from protocol.secagg.messages import (
    ENTRY_BYTES,
    SIGNATURE_BYTES,
    VERSION,
    Advertise,
    AdvertList,
    Complaint,
    Consistency,
    Masked,
    Message,
    Origin,
    Reveal,
    RoundOpen,
    SenderList,
    ShareHeader,
    SignatureList,
    SurvivorList,
    header_of,
    open_message,
    parse_entry,
    peek_type,
    pieces,
    sign_message,
)
from protocol.secagg.secret_sharing import OPENING_BYTES, parse_opening
from protocol.secagg.server import Step
from protocol.secagg.transcript import Transcript, parse_transcript, replay, vectors_of
from tests.long.fuzz.engine import Attempt, Broken, Make, Target
from tests.long.fuzz.mutations import Tree, spoil_bytes, spoil_tree
from tests.long.fuzz.targets.honest import LIAR, LOST, recorded, replica_of, waiting_silo
from tests.support.simulated.sum_federation import FIRST

_HOLE = "body-goes-here"
_HOLE_BYTES = b'"body-goes-here"'

_ANSWERS: Mapping[type[Message], Step] = {
    Advertise: Step.ADVERTISE,
    ShareHeader: Step.SHARE,
    Masked: Step.MASKED,
    Consistency: Step.CONSISTENCY,
    Reveal: Step.UNMASK,
}
_REQUESTS: Mapping[type[Message], Step] = {
    RoundOpen: Step.ADVERTISE,
    AdvertList: Step.SHARE,
    SenderList: Step.MASKED,
    SurvivorList: Step.CONSISTENCY,
    SignatureList: Step.UNMASK,
}


@dataclass(frozen=True, kw_only=True)
class Sender:
    """Who signs, and for which kind of message: whatever is spoilt carries the right signature."""

    name: str
    key: SigningKey
    kind: type[Message]

    @property
    def origin(self) -> Origin:
        """From whom the decoder expects the message."""
        context = recorded().federation.context.digest
        return Origin(sender=self.name, public=self.key.public, context=context)

    def signed(self, data: bytes) -> bytes:
        """Returns the wire form of bytes that need not be a message."""
        return self.key.sign(self.kind.type, data) + data

    def spoilt(self, random: Random, wire: bytes, others: Sequence[bytes]) -> bytes:
        """Returns the message spoilt: three in four times signed again by its sender."""
        draw = random.random()
        if draw < 0.02:
            return wire
        if draw < 0.25:
            return spoil_bytes(random, wire, others)
        data = wire[SIGNATURE_BYTES:]
        if draw < 0.45:
            return self.signed(spoil_bytes(random, data, others))
        tree: Tree = parse_canonical(data)
        trees = [parse_canonical(other[SIGNATURE_BYTES:]) for other in random.sample(others, 1)]
        if draw < 0.95:  # the envelope stays whole, so that the body is read
            body = spoil_tree(random, tree["body"], trees)
            return self.signed(canonical(tree | {"body": _HOLE}).replace(_HOLE_BYTES, body))
        return self.signed(spoil_tree(random, tree, trees))


def _site(site: str, kind: type[Message]) -> Sender:
    return Sender(name=site, key=recorded().federation.keys[site], kind=kind)


def _coordinator(kind: type[Message]) -> Sender:
    return Sender(name=COORDINATOR, key=recorded().federation.coordinator_key, kind=kind)


def _every_wire() -> list[bytes]:
    run = recorded()
    return [*run.requests.values(), *(wire for wire, _ in run.answers.values()), _complaint()]


def _complaint() -> bytes:
    return recorded().federation.from_site(FIRST, Complaint(against=LIAR))


def _corpus(kind: type[Message]) -> tuple[Sender, list[bytes]]:
    """Returns who sends this kind of message, and all honest ones of one sender."""
    run = recorded()
    if kind in _REQUESTS:
        return _coordinator(kind), [run.requests[_REQUESTS[kind]]]
    if kind is Complaint:
        return _site(FIRST, kind), [_complaint()]
    return _site(FIRST, kind), [run.answers[_ANSWERS[kind], FIRST][0]]


def _prepare_message(kind: type[Message]) -> Make:
    sender, wires = _corpus(kind)
    others = _every_wire()

    def make(random: Random) -> Attempt:
        wire = sender.spoilt(random, random.choice(wires), others)
        return Attempt(data=wire, act=lambda: _open(wire, kind, sender.origin))

    return make


def _open(wire: bytes, kind: type[Message], origin: Origin) -> None:
    message = open_message(wire, kind, origin)
    body: Any = parse_canonical(wire[SIGNATURE_BYTES:])
    if canonical(to_json(message)) != canonical(body["body"]):
        raise Broken("the message that was read is not the one that was written")


def _prepare_context() -> Make:
    sender, wires = _corpus(RoundOpen)
    context = recorded().federation.context

    def signed(tree: bytes) -> bytes:
        """Names the context that the body holds, whatever it is, as the sender would."""
        try:
            digest = digest_json(parse_canonical(tree))
        except (MessageRefused, RecursionError):
            digest = context.digest
        envelope = canonical(
            {
                "v": VERSION,
                "type": RoundOpen.type,
                "ctx": digest,
                "from": COORDINATOR,
                "body": _HOLE,
            }
        )
        return sender.signed(
            envelope.replace(_HOLE_BYTES, b'{"context":%s,"log":null,"own":null}' % tree)
        )

    def make(random: Random) -> Attempt:
        wire = signed(spoil_tree(random, context.to_json(), [context.to_json()]))
        return Attempt(data=wire, act=lambda: opened_round(wire, sender.key.public))

    return make


def _prepare_peek() -> Make:
    wires = _every_wire()

    def make(random: Random) -> Attempt:
        wire = spoil_bytes(random, random.choice(wires), wires)
        return Attempt(data=wire, act=lambda: _peek(wire))

    return make


def _peek(wire: bytes) -> None:
    claimed = peek_type(wire)
    if claimed is None:
        raise MessageRefused("no type")
    if not isinstance(claimed, str):
        raise Broken("a type that is no text")


def _prepare_entry() -> Make:
    entries = pieces(recorded().entries, ENTRY_BYTES, 5)

    def make(random: Random) -> Attempt:
        data = spoil_bytes(random, random.choice(entries), entries)
        return Attempt(data=data, act=lambda: _same(parse_entry(data).to_bytes(), data))

    return make


def _prepare_opening() -> Make:
    run = recorded()
    reveal = run.federation.opened_answer(run.answers[Step.UNMASK, FIRST][0], Reveal, FIRST)
    openings = pieces(reveal.self_shares, OPENING_BYTES, 4)
    openings.append(((1 << 521) - 1).to_bytes(66, "big") + bytes(32))

    def make(random: Random) -> Attempt:
        data = spoil_bytes(random, random.choice(openings), openings)
        return Attempt(data=data, act=lambda: _same(parse_opening(data).to_bytes(), data))

    return make


def _prepare_pieces() -> Make:
    data = recorded().entries

    def make(random: Random) -> Attempt:
        spoilt = spoil_bytes(random, data, [data])
        size = random.choice((1, 32, ENTRY_BYTES, OPENING_BYTES, 10**9))
        count = random.choice((0, 1, 5, len(spoilt) // size, 2**40))
        return Attempt(
            data=spoilt, act=lambda: _same(b"".join(pieces(spoilt, size, count)), spoilt)
        )

    return make


def _same(again: bytes, data: bytes) -> None:
    if again != data:
        raise Broken("what was read is written differently")


Ask: TypeAlias = Callable[[SecAggClient], object]
Spoilt: TypeAlias = Callable[[Random], tuple[bytes, Ask]]


# --- the silo, asked by a coordinator that has one site's keys as well ---


def _silo_target(step: Step, spoilt: Spoilt, honest: Ask) -> Make:
    waiting = waiting_silo(step)

    def make(random: Random) -> Attempt:
        data, ask = spoilt(random)
        checked = random.random() < 0.1
        return Attempt(data=data, act=lambda: _asked(replica_of(waiting), ask, honest, checked))

    return make


def _asked(
    silo: SecAggClient,
    ask: Ask,
    honest: Ask,
    checked: bool,
) -> None:
    try:
        ask(silo)
    except MessageRefused:
        if checked:
            _still_works(lambda: honest(silo))
        raise


def _still_works(act: Callable[[], object]) -> None:
    try:
        act()
    except MessageRefused as error:
        raise Broken(f"a refused message changed the state: {error}") from error


def _spoilt_inside(
    random: Random, outer: Sender, wire: bytes, field: str, inner: type[Message]
) -> bytes:
    """Returns the coordinator's list with one site's message spoilt, both signed again."""
    run = recorded()
    if random.random() < 0.4:
        return outer.spoilt(random, wire, _every_wire())
    listed = dict(getattr(open_message(wire, outer.kind, outer.origin), field))
    site = random.choice((LIAR, LIAR, FIRST, *listed))
    if site in listed:
        listed[site] = _site(site, inner).spoilt(random, listed[site], list(listed.values()))
    if random.random() < 0.2:
        del listed[random.choice(sorted(listed))]
    message = outer.kind(**{field: listed})
    return sign_message(
        message, context=run.federation.context.digest, sender=COORDINATOR, key=outer.key
    )


def _prepare_silo_share() -> Make:
    wire = recorded().requests[Step.SHARE]
    outer = _coordinator(AdvertList)

    def spoilt(random: Random) -> tuple[bytes, Ask]:
        data = _spoilt_inside(random, outer, wire, "adverts", Advertise)
        return data, lambda silo: silo.share(data)

    return _silo_target(Step.SHARE, spoilt, lambda silo: silo.share(wire))


def _prepare_silo_accept() -> Make:
    run = recorded()
    wire, entries = run.requests[Step.MASKED], run.entries
    outer = _coordinator(SenderList)

    def spoilt(random: Random) -> tuple[bytes, Ask]:
        draw = random.random()
        if draw < 0.3:
            data, parts = _spoilt_inside(random, outer, wire, "headers", ShareHeader), entries
        elif draw < 0.4:
            data, parts = wire, spoil_bytes(random, entries, [entries])
        else:
            data, parts = _named_anew(random, outer, wire, entries)
        return data + parts, lambda silo: silo.accept_shares(data, parts)

    return _silo_target(Step.MASKED, spoilt, lambda silo: silo.accept_shares(wire, entries))


def _named_anew(random: Random, outer: Sender, wire: bytes, entries: bytes) -> tuple[bytes, bytes]:
    """Returns a spoilt entry of the liar, under a header of the liar that names it.

    Half of these are sealed under the right key, so that only the openings are wrong.
    """
    run = recorded()
    headers = dict(open_message(wire, SenderList, outer.origin).headers)
    owners = sorted(headers)
    place = owners.index(LIAR)
    parts = pieces(entries, ENTRY_BYTES, len(owners))
    entry = parts[place]
    if random.random() < 0.5:
        key = vars(waiting_silo(Step.MASKED))["_dealt"].receive_keys[LIAR]
        plain = spoil_bytes(random, random.randbytes(2 * OPENING_BYTES), [entry])
        entry = entry[:64] + seal(key, run.federation.context, LIAR, FIRST, plain)
    else:
        entry = spoil_bytes(random, entry, parts)
    header = run.federation.opened_answer(headers[LIAR], ShareHeader, LIAR)
    named = pieces(header.entries, 32, len(owners))
    named[owners.index(FIRST)] = header_of([entry])
    again = ShareHeader(adverts=header.adverts, entries=b"".join(named))
    headers[LIAR] = run.federation.from_site(LIAR, again)
    parts[place] = entry
    return run.federation.from_coordinator(SenderList(headers=headers)), b"".join(parts)


def _prepare_silo_confirm() -> Make:
    wire = recorded().requests[Step.CONSISTENCY]
    sender = _coordinator(SurvivorList)

    def spoilt(random: Random) -> tuple[bytes, Ask]:
        data = sender.spoilt(random, wire, _every_wire())
        return data, lambda silo: silo.confirm(data)

    return _silo_target(Step.CONSISTENCY, spoilt, lambda silo: silo.confirm(wire))


def _prepare_silo_reveal() -> Make:
    wire = recorded().requests[Step.UNMASK]
    outer = _coordinator(SignatureList)

    def spoilt(random: Random) -> tuple[bytes, Ask]:
        data = _spoilt_inside(random, outer, wire, "signatures", Consistency)
        return data, lambda silo: silo.reveal(data)

    return _silo_target(Step.UNMASK, spoilt, lambda silo: silo.reveal(wire))


# --- the coordinator, answered by one dishonest site ---


def _prepare_sum(step: Step, kind: type[Message]) -> Make:
    run = recorded()
    site = FIRST
    sender = _site(site, kind)
    wire, blob = run.answers[step, site]
    standing = [run.machine(step, without=site)]

    def make(random: Random) -> Attempt:
        answer, answered_blob = _spoilt_answer(random, sender, wire, blob)
        checked = random.random() < 0.02

        def act() -> None:
            machine = run.machine(step, without=site) if checked else standing[0]
            try:
                machine.receive(step, site, answer, answered_blob)
            except MessageRefused:
                if checked:
                    _still_works(lambda: machine.receive(step, site, wire, blob))
                    if (run.finished(machine, step) != run.total).any():
                        raise Broken("a refused answer changed the sum") from None
                raise
            if not checked:
                standing[0] = run.machine(step, without=site)

        return Attempt(data=answer + (answered_blob or b""), act=act)

    return make


def _spoilt_answer(
    random: Random, sender: Sender, wire: bytes, blob: bytes | None
) -> tuple[bytes, bytes | None]:
    """Returns an answer spoilt in its message, its blob, or in both so that they fit each other."""
    federation = recorded().federation
    if sender.kind is Masked and random.random() < 0.2:
        complaint = Sender(name=sender.name, key=sender.key, kind=Complaint)
        return complaint.spoilt(random, _complaint(), _every_wire()), None
    if blob is None or random.random() < 0.5:
        return sender.spoilt(random, wire, _every_wire()), blob
    spoilt = spoil_bytes(random, blob, [blob])
    if random.random() < 0.3:
        return wire, random.choice((spoilt, b"", None))
    message: Message
    if sender.kind is Masked:
        message = Masked(blob=blob_digest(spoilt), ledger_head="8" * 64)
    else:
        header = federation.opened_answer(wire, ShareHeader, sender.name)
        entries = [spoilt[at : at + ENTRY_BYTES] for at in range(0, len(spoilt), ENTRY_BYTES)]
        message = ShareHeader(adverts=header.adverts, entries=header_of(entries[:200]))
    return federation.from_site(sender.name, message), spoilt


# --- the transcript of a round, recomputed by somebody else ---

_FIELDS: Mapping[str, tuple[Step, type[Message]]] = {
    "adverts": (Step.ADVERTISE, Advertise),
    "headers": (Step.SHARE, ShareHeader),
    "masked": (Step.MASKED, Masked),
    "signatures": (Step.CONSISTENCY, Consistency),
    "reveals": (Step.UNMASK, Reveal),
}


def honest_transcript() -> Transcript:
    """Returns the transcript of the recorded run."""
    run = recorded()
    answers: dict[Step, dict[str, tuple[bytes, bytes | None]]] = {step: {} for step in Step}
    for (step, site), answer in run.answers.items():
        answers[step][site] = answer
    return Transcript.of(run.federation.context, answers)


def _prepare_transcript() -> Make:
    honest = honest_transcript()
    tree = to_json(honest)

    def make(random: Random) -> Attempt:
        draw = random.random()
        if draw < 0.2:
            data = spoil_bytes(random, honest.canonical_bytes, [honest.canonical_bytes])
        elif draw < 0.5:
            data = spoil_tree(random, tree, [tree])
        else:
            data = _spoilt_answers(random, honest).canonical_bytes
        return Attempt(data=data, act=lambda: _same_transcript(data))

    return make


def _same_transcript(data: bytes) -> None:
    _same(parse_transcript(data).canonical_bytes, data)


def _prepare_replay() -> Make:
    run, honest = recorded(), honest_transcript()
    vectors = {blob_digest(blob): blob for (step, _), (_, blob) in run.answers.items()
               if step is Step.MASKED and blob is not None}  # fmt: skip
    same = dict(vectors_of(honest, run.federation.roster))

    def make(random: Random) -> Attempt:
        spoilt = honest if random.random() < 0.03 else _spoilt_answers(random, honest)

        def act() -> None:
            kept = bytes(run.federation.context.blob_bytes)
            machine = replay(spoilt, run.federation.roster, lambda name: vectors.get(name, kept))
            named = vectors_of(spoilt, run.federation.roster)
            if named == same and (machine.total() != run.total).any():
                raise Broken("the same vectors gave another sum")

        return Attempt(data=spoilt.canonical_bytes, act=act)

    return make


def _spoilt_answers(random: Random, honest: Transcript) -> Transcript:
    """Returns a transcript in which one answer is missing, moved, or spoilt and signed again."""
    name = random.choice((*_FIELDS, "entries"))
    answers = dict(getattr(honest, name))
    site = random.choice(sorted(answers))
    draw = random.random()
    if draw < 0.1:
        del answers[site]
    elif draw < 0.2:
        answers[random.choice(("site-00", LOST, "site-99", "a"))] = answers[site]
    elif name == "entries":
        answers[site] = spoil_bytes(random, answers[site], list(answers.values()))
    else:
        kind = _FIELDS[name][1]
        answers[site] = _site(site, kind).spoilt(random, answers[site], list(answers.values()))
    changed: dict[str, Any] = {name: answers}
    return replace(honest, **changed)


def _message_target(kind: type[Message]) -> Target:
    return Target(name=f"message-{kind.type}", prepare=lambda: _prepare_message(kind))


def _sum_target(kind: type[Message], step: Step) -> Target:
    return Target(name=f"sum-{step.value}", prepare=lambda: _prepare_sum(step, kind), weight=6)


MESSAGE_TARGETS: tuple[Target, ...] = (
    *(_message_target(kind) for kind in (*_REQUESTS, *_ANSWERS, Complaint)),
    Target(name="context", prepare=_prepare_context),
    Target(name="peek-type", prepare=_prepare_peek),
    Target(name="entry", prepare=_prepare_entry),
    Target(name="opening", prepare=_prepare_opening),
    Target(name="pieces", prepare=_prepare_pieces),
    Target(name="silo-share", prepare=_prepare_silo_share, weight=3),
    Target(name="silo-masked", prepare=_prepare_silo_accept, weight=3),
    Target(name="silo-consistency", prepare=_prepare_silo_confirm, weight=6),
    Target(name="silo-unmask", prepare=_prepare_silo_reveal, weight=3),
    *(_sum_target(kind, step) for kind, step in _ANSWERS.items()),
    Target(name="transcript", prepare=_prepare_transcript, weight=3),
    Target(
        name="replay",
        prepare=_prepare_replay,
        refusals=(MessageRefused, QuorumLost, SumRefused),
        weight=2,
    ),
)
