"""Every message, honest or not, that is tried on a silo and on the coordinator of a round."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from protocol.codec import to_json
from protocol.encoding import canonical, digest_json
from protocol.identity.roster import COORDINATOR
from protocol.secagg.messages import (
    ENTRY_BYTES,
    HASH_BYTES,
    AdvertList,
    Complaint,
    Consistency,
    Reveal,
    RoundOpen,
    SenderList,
    ShareHeader,
    SignatureList,
    SurvivorList,
    header_of,
)
from protocol.secagg.server import Step
from tests.make_vectors.recorded_round import (
    Document,
    Pair,
    RecordedSilo,
    Tamper,
)
from tests.make_vectors.rounds import (
    Bench,
    blobs_of,
    entries_by,
    header_by,
    opened_answer,
    own_secrets,
    pair_json,
)
from tests.make_vectors.sheet import Sheet


def silo_sheet(bench: Bench, name: str, frozen: Document) -> Sheet:
    """Requests to lyon in the recorded round: the honest ones again, and others."""
    sheet = Sheet("What one silo answers and refuses, whoever asks.", recorded=frozen)
    sheet.add_given(round=name, site="lyon")
    _repeated(sheet, bench)
    _wrong_openings(sheet, bench)
    _wrong_adverts(sheet, bench)
    _wrong_senders(sheet, bench)
    _wrong_survivors(sheet, bench)
    _wrong_signature_lists(sheet, bench)
    return sheet


def _request(step: Step, message: bytes, beside: bytes | None = None) -> dict[str, Any]:
    return {"step": step.value, **pair_json(message, beside)}


def _before(step: Step) -> list[str]:
    return [s.value for s in Step][: tuple(Step).index(step)]


def _tries(sheet: Sheet, step: Step, beside: bytes | None = None) -> Callable[..., None]:
    """Returns what adds a refused request that comes at its own step."""

    def bad(
        name: str,
        because: str,
        message: bytes,
        *,
        refused: str = "MessageRefused",
        played: list[str] | None = None,
        entries: bytes | None = None,
    ) -> None:
        requests = [_request(step, message, entries or beside)]
        before = _before(step) if played is None else played
        name = f"{step.value}: {name}"
        sheet.bad(name, "silo", refused, because, played=before, requests=requests)

    return bad


def _repeated(sheet: Sheet, bench: Bench) -> None:
    for step in (Step.ADVERTISE, Step.SHARE, Step.CONSISTENCY, Step.UNMASK):
        message = bench.exchanges[step].request
        sheet.good(
            f"{step.value}: asked twice, the same bytes",
            "silo",
            played=[*_before(step), step.value],
            requests=[_request(step, message)],
        )


def _wrong_openings(sheet: Sheet, bench: Bench) -> None:
    bad = _tries(sheet, Step.ADVERTISE)
    context = bench.recorded.context

    def opened(**changes: Any) -> bytes:
        other = replace(context, **changes)
        return bench.asks(RoundOpen(context=other), context=other.digest)

    own = RoundOpen(context=context)
    bad("signed by a member", "not valid for this key", bench.by("oslo", own, sender=COORDINATOR))
    bad("from a member", "is not from coordinator", bench.by("oslo", own))
    other = bench.asks(own, context="0" * 64)
    bad("under another context's name", "another context", other)
    bad("another roster", "names another roster", opened(roster_digest="0" * 64))
    without = opened(participants=("oslo", "porto", "turin"))
    bad("participants without this silo", "is no participant", without)
    stranger = opened(participants=("lyon", "oslo", "porto", "rome"))
    bad("an unknown site among the participants", "'rome' is not in the roster", stranger)
    fields = to_json(context) | {"threshold": 2}
    envelope: dict[str, Any] = {
        "v": 1,
        "type": "round-open",
        "ctx": digest_json(fields),
        "from": COORDINATOR,
    }
    data = canonical(envelope | {"body": {"context": fields, "log": None, "own": None}})
    weak = bench.recorded.coordinator.sign("round-open", data) + data
    bad("a threshold that is too low", "2t > n + C", weak)
    second = opened(log_root="0" * 64)
    begun = ["advertise"]
    bad("a second context for one attempt", "done differently", second, played=begun)
    late = bench.exchanges[Step.SHARE].request
    bad("a list of adverts", "expected a round-open", late, refused="OutOfOrder")


def _wrong_adverts(sheet: Sheet, bench: Bench) -> None:
    bad = _tries(sheet, Step.SHARE)
    honest = bench.answers(Step.ADVERTISE)
    own = {site: own_secrets(bench.recorded, site).advert() for site in honest}

    def listed(**changes: bytes) -> bytes:
        return bench.asks(AdvertList(adverts=honest | changes))

    def only(*sites: str) -> bytes:
        return bench.asks(AdvertList(adverts={site: honest[site] for site in sites}))

    request = bench.exchanges[Step.SHARE].request
    bad("before the round is open", "advertise comes first", request,
        refused="OutOfOrder", played=[])  # fmt: skip
    bad("a stranger", "U1 names rome", listed(rome=honest["oslo"]))
    bad("without this silo", "leaves this silo out", only("oslo", "porto", "turin"))
    bad("too few", "U1 has 2 sites, 3 are needed", only("lyon", "oslo"))
    second = bench.by("lyon", replace(own["lyon"], mask_public=b"\7" * 32))
    bad("another advert of its own", "than this silo's own", listed(lyon=second))
    forged = bench.by("oslo", own["oslo"], key="turin")
    bad("an advert that another signed", "not valid for this key", listed(oslo=forged))
    bad("another's advert", "is not from porto", listed(porto=honest["oslo"]))
    old = bench.by("oslo", own["oslo"], context="0" * 64)
    bad("an advert of another context", "another context", listed(oslo=old))
    copied = bench.by("porto", replace(own["porto"], mask_public=own["oslo"].mask_public))
    bad("a copied public key", "the same public key", listed(porto=copied))
    weak = bench.by("porto", replace(own["porto"], share_public=bytes(32)))
    bad("a key of small order", "site porto: an X25519 public key", listed(porto=weak))
    from_site = bench.by("turin", AdvertList(adverts=honest))
    bad("from a member", "is not from coordinator", from_site)
    played = ["advertise", "share"]
    bad("a second U1", "another U1 was accepted", only("lyon", "oslo", "turin"), played=played)


def _wrong_senders(sheet: Sheet, bench: Bench) -> None:
    exchange = bench.exchanges[Step.MASKED]
    entries = exchange.beside["lyon"]
    bad = _tries(sheet, Step.MASKED, entries)
    honest = bench.answers(Step.SHARE)

    def listed(**changes: bytes) -> bytes:
        return bench.asks(SenderList(headers=honest | changes))

    def only(*sites: str) -> bytes:
        return bench.asks(SenderList(headers={site: honest[site] for site in sites}))

    bad("before the shares", "share comes first", exchange.request, refused="OutOfOrder",
        played=["advertise"])  # fmt: skip
    bad("a stranger", "U2 names rome", listed(rome=honest["oslo"]))
    bad("without this silo", "leaves this silo out", only("oslo", "porto", "turin"))
    bad("too few", "U2 has 2 sites, 3 are needed", only("lyon", "oslo"))
    used = ShareHeader(adverts="0" * 64, entries=bytes(4 * HASH_BYTES))
    bad("another header of its own", "than this silo's own", listed(lyon=bench.by("lyon", used)))
    bad("a header over another U1", "used other adverts", listed(oslo=bench.by("oslo", used)))
    bad("an entry too few", "expected 4 pieces", exchange.request, entries=entries[ENTRY_BYTES:])
    spoilt = bytes([*entries[: ENTRY_BYTES + 70], entries[ENTRY_BYTES + 70] ^ 1])
    spoilt += entries[len(spoilt) :]
    bad("an entry that was not signed", "not the one it signed", exchange.request, entries=spoilt)
    again = ["advertise", "share", "masked"]
    bad("a second U2", "another U2 was accepted", only("lyon", "oslo", "turin"), played=again,
        entries=entries[: 2 * ENTRY_BYTES] + entries[3 * ENTRY_BYTES :])  # fmt: skip
    bad("a second vector", "was masked already", exchange.request, refused="OutOfOrder",
        played=again)  # fmt: skip
    _garbage(sheet, bench)


def _garbage(sheet: Sheet, bench: Bench) -> None:
    """An owner signs an entry that its holder cannot use, and is named."""
    exchange, dealt = bench.exchanges[Step.MASKED], entries_by(bench.exchanges, "oslo")
    entry, delivered = dealt[0], exchange.beside["lyon"]
    adverts = header_by(bench, "oslo").adverts
    for name, because, wrong in (
        ("a signed entry of noise", "cannot be opened", entry[:64] + b"\5" * 212),
        ("a signed wrong commitment", "do not match", b"\5" * 64 + entry[64:]),
    ):
        header = ShareHeader(adverts=adverts, entries=header_of([wrong, *dealt[1:]]))
        headers = bench.answers(Step.SHARE) | {"oslo": bench.by("oslo", header)}
        beside = delivered[:ENTRY_BYTES] + wrong + delivered[2 * ENTRY_BYTES :]
        request = _request(Step.MASKED, bench.asks(SenderList(headers=headers)), beside)
        given: dict[str, Any] = {"played": ["advertise", "share"]}
        if "noise" in name:
            request |= {"complain": True}
            sheet.good(f"masked: {name} is named", "silo", **given, requests=[request])
        else:
            refusal = ("silo", "MessageRefused", because)
            sheet.bad(f"masked: {name}", *refusal, **given, requests=[request])


def _wrong_survivors(sheet: Sheet, bench: Bench) -> None:
    bad = _tries(sheet, Step.CONSISTENCY)
    exchange = bench.exchanges[Step.CONSISTENCY]
    blobs = blobs_of(bench)

    def listed(**named: str) -> bytes:
        return bench.asks(SurvivorList(blobs=named))

    bad("before the vector", "mask comes first", exchange.request, refused="OutOfOrder",
        played=["advertise", "share"])  # fmt: skip
    bad("a stranger", "U3 names rome", listed(**blobs, rome="0" * 64))
    without = {site: blob for site, blob in blobs.items() if site != "lyon"}
    bad("without this silo", "leaves this silo out", listed(**without, oslo="0" * 64))
    two = {site: blobs[site] for site in ("lyon", "porto")}
    bad("too few", "U3 has 2 sites, 3 are needed", listed(**two))
    bad("another blob of its own", "names another blob", listed(**blobs | {"lyon": "0" * 64}))
    played = [*_before(Step.CONSISTENCY), "consistency"]
    second = listed(**blobs, oslo="0" * 64)
    bad("a second U3", "done differently", second, played=played)


def _wrong_signature_lists(sheet: Sheet, bench: Bench) -> None:
    bad = _tries(sheet, Step.UNMASK)
    honest = bench.answers(Step.CONSISTENCY)
    said = opened_answer(bench, "porto", honest["porto"], Consistency)

    def listed(signatures: Mapping[str, bytes]) -> bytes:
        return bench.asks(SignatureList(signatures=signatures))

    request = bench.exchanges[Step.UNMASK].request
    bad("before the signature", "confirm comes first", request, refused="OutOfOrder",
        played=_before(Step.CONSISTENCY))  # fmt: skip
    two = {site: honest[site] for site in ("lyon", "porto")}
    bad("two signatures", "2 signatures on U3, 3 are needed", listed(two))
    lost = honest | {"oslo": bench.by("oslo", said)}
    bad("one that is not in U3", "signed but is not in U3", listed(lost))
    other = bench.by("porto", replace(said, survivors="0" * 64))
    bad("another U3", "site porto signed another", listed(honest | {"porto": other}))
    forged = bench.by("porto", said, key="turin")
    bad("a forged signature", "not valid for this key", listed(honest | {"porto": forged}))
    old = bench.by("porto", said, context="0" * 64)
    bad("a signature of another context", "another context", listed(honest | {"porto": old}))


def coordinator_sheet(bench: Bench, name: str, frozen: Document) -> Sheet:
    """Answers in the recorded round, some of them wrong, missing or repeated."""
    sheet = Sheet("What the coordinator sums and refuses.", recorded=frozen)
    sheet.add_given(round=name)
    sheet.good("the recorded answers", "coordinator")
    repeated = {
        step.value: {"lyon": pair_json(*exchange.answers["lyon"])}
        for step, exchange in bench.exchanges.items()
        if step in (Step.ADVERTISE, Step.CONSISTENCY)
    }
    sheet.good("an answer that comes twice", "coordinator", again=repeated)
    _wrong_answers(sheet, bench)
    _too_few(sheet)
    _wrong_sums(sheet, bench)
    return sheet


def _wrong_answers(sheet: Sheet, bench: Bench) -> None:
    def bad(
        name: str, because: str, step: Step, answer: Pair, *, kind: str = "MessageRefused"
    ) -> None:
        changed = {step.value: {"porto": pair_json(*answer)}}
        sheet.bad(f"{step.value}: {name}", "coordinator", kind, because, changed=changed)

    own = own_secrets(bench.recorded, "porto").advert()
    oslo = own_secrets(bench.recorded, "oslo").advert()
    weak = bench.by("porto", replace(own, mask_public=bytes(32)))
    bad("a key of small order", "not a usable point", Step.ADVERTISE, (weak, None))
    copied = bench.by("porto", replace(own, share_public=oslo.mask_public))
    bad("a copied key", "already taken", Step.ADVERTISE, (copied, None))
    forged = bench.by("porto", own, key="oslo")
    bad("signed by another", "not valid for this key", Step.ADVERTISE, (forged, None))
    header, entries = bench.exchanges[Step.SHARE].answers["porto"]
    other = bench.by("porto", replace(header_by(bench, "porto"), adverts="0" * 64))
    bad("over other adverts", "used other adverts", Step.SHARE, (other, entries))
    bad("no entries", "expected 4 pieces", Step.SHARE, (header, None))
    spoilt = (entries or b"")[:-1] + b"\0"
    bad("entries that were not signed", "not the ones it signed", Step.SHARE, (header, spoilt))
    early = bench.answer(Step.MASKED, "porto")
    bad("a masked vector", "got masked", Step.SHARE, (early, entries), kind="OutOfOrder")
    masked, blob = bench.exchanges[Step.MASKED].answers["porto"]
    bad("no vector", "expected a blob of 32 bytes", Step.MASKED, (masked, None))
    bad("a short vector", "expected a blob of 32", Step.MASKED, (masked, (blob or b"")[:-4]))
    bad("another vector", "not the one it signed", Step.MASKED, (masked, bytes(32)))
    against = bench.by("porto", Complaint(against="oslo"))
    bad("a complaint", "it complains about oslo", Step.MASKED, (against, None))
    for site in ("porto", "rome"):
        about = bench.by("porto", Complaint(against=site))
        because = "complains about nobody"
        bad(f"a complaint about {site}", because, Step.MASKED, (about, None))
    said = opened_answer(bench, "porto", bench.answer(Step.CONSISTENCY, "porto"), Consistency)
    other = bench.by("porto", replace(said, senders="0" * 64))
    bad("another U2", "signed another U1, U2 or U3", Step.CONSISTENCY, (other, None))
    _wrong_reveals(sheet, bench, bad)
    second = bench.by("lyon", replace(own, self_commitment=bytes(32)))
    again = {"advertise": {"lyon": pair_json(second)}}
    because = "has answered step advertise differently"
    sheet.bad("a second advert", "coordinator", "MessageRefused", because, again=again)
    late = bench.by("oslo", said)
    changed = {"consistency": {"oslo": pair_json(late)}}
    because = "site oslo has no part"
    sheet.bad("a dropped site", "coordinator", "OutOfOrder", because, changed=changed)


def _wrong_reveals(sheet: Sheet, bench: Bench, bad: Callable[..., None]) -> None:
    reveal = opened_answer(bench, "porto", bench.answer(Step.UNMASK, "porto"), Reveal)
    shares = reveal.self_shares
    for name, because, changed in (
        ("a share too few", "expected 3 pieces", {"self_shares": shares[98:]}),
        ("no share of the lost site", "expected 1 pieces", {"pair_shares": b""}),
        ("a wrong share", "lyon does not match the commitment",
         {"self_shares": shares[:65] + bytes([shares[65] ^ 1]) + shares[66:]}),
        ("two shares exchanged", "lyon does not match the commitment",
         {"self_shares": shares[98:196] + shares[:98] + shares[196:]}),
    ):  # fmt: skip
        bad(name, because, Step.UNMASK, (bench.by("porto", replace(reveal, **changed)), None))


def _too_few(sheet: Sheet) -> None:
    gone = ["oslo", "porto"]
    for step, silent, because in (
        (Step.ADVERTISE, gone, "step advertise: 2 of 4 sites are left, 3 are needed"),
        (Step.SHARE, gone, "step share: 2 of 4 sites are left, 3 are needed"),
        (Step.MASKED, ["porto"], "step masked: 2 of 4 sites are left, 3 are needed"),
        (Step.CONSISTENCY, ["porto"], "step consistency: 2 of 4 sites are left, 3 are needed"),
        (Step.UNMASK, ["porto"], "step unmask: 2 of 4 sites are left, 3 are needed"),
    ):
        name = f"{step.value}: too few answers"
        sheet.bad(name, "coordinator", "QuorumLost", because, silent={step.value: silent})


def _wrong_sums(sheet: Sheet, bench: Bench) -> None:
    def other_secret(at: Step) -> Tamper:
        def tamper(step: Step, silo: RecordedSilo) -> None:
            machine = silo.machine
            there = machine is not None and machine._secrets is not None
            if there and (step, silo.site) == (at, "turin"):
                machine._secrets = replace(machine._secrets, self_secret=b"\7" * 32)

        return tamper

    changed = bench.altered(other_secret(Step.MASKED))
    because = "longer than its updates can be"
    sheet.bad("turin masks with another key", "coordinator", "SumRefused", because, changed=changed)
    changed = bench.altered(other_secret(Step.SHARE))
    because = "the shares of turin do not unmask the sum"
    sheet.bad("turin deals another secret", "coordinator", "QuorumLost", because, changed=changed)
