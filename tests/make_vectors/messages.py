"""Every message once, every way an envelope, a body or a sealed entry can be wrong."""

from collections.abc import Callable
from typing import Any

from protocol.codec import to_json
from protocol.encoding import canonical
from protocol.identity.roster import SigningKey
from protocol.secagg.encrypted_shares import open_entry
from protocol.secagg.log_proof import LoggedResult, LogProof
from protocol.secagg.masking import seal, share_keys
from protocol.secagg.messages import (
    ENTRY_BYTES,
    Advertise,
    AdvertList,
    Complaint,
    Consistency,
    HeldHead,
    Masked,
    Message,
    Reveal,
    RoundOpen,
    SenderList,
    ShareHeader,
    SignatureList,
    SurvivorList,
)
from protocol.secagg.secret_sharing import PRIME, SHARE_BYTES
from tests.make_vectors.recorded_round import (
    Recorded,
)
from tests.make_vectors.rounds import entries_by, own_secrets
from tests.make_vectors.sheet import Sheet


def messages_sheet(recorded: Recorded) -> Sheet:
    """Every message once, and every way in which an envelope can be wrong."""
    key = recorded.secrets["lyon"].identity.hex()
    ctx = recorded.context.digest
    public = SigningKey.from_bytes(bytes.fromhex(key)).public.hex()
    sheet = Sheet(
        "Signed messages: what is accepted, and every way not to be.",
        given={"context_digest": ctx, "sender": "lyon", "public": public},
        names={"<ctx>": ctx, "<lyon>": key},
    )
    bodies: list[Message] = [
        RoundOpen(context=recorded.context),
        RoundOpen(context=recorded.context, log=_log_proof()),
        HeldHead(size=3, root="f" * 64),
        Advertise(mask_public=b"\1" * 32, share_public=b"\2" * 32, self_commitment=bytes(32)),
        AdvertList(adverts={"lyon": b"signed", "oslo": b""}),
        ShareHeader(adverts="d" * 64, entries=bytes(range(64))),
        SenderList(headers={"lyon": b"header", "oslo": b"another"}),
        Masked(blob="a" * 64, ledger_head="b" * 64),
        Masked(blob="a" * 64, ledger_head="b" * 64, table=(2048, -3, 0, 1024, -15_000, 12_500)),
        Complaint(against="oslo"),
        SurvivorList(blobs={"lyon": "e" * 64}),
        Consistency(adverts="1" * 64, senders="2" * 64, survivors="3" * 64),
        SignatureList(signatures={"lyon": b"signed"}),
        Reveal(self_shares=bytes(98), pair_shares=b""),
    ]
    for message in bodies:
        given = {"type": message.type}
        body = to_json(message)
        special = " with a table" if body.get("table") else ""
        special += ", with a proof" if isinstance(message, RoundOpen) and message.log else ""
        sheet.good(message.type + special, "sign_message", **given, private=key, body=body)
    _wrong_envelopes(sheet, ctx, key)
    _wrong_bodies(sheet, ctx, key)
    _sets(sheet)
    return sheet


def _log_proof() -> LogProof:
    """A proof of the right form; whether it holds is no matter of a message."""
    return LogProof(
        note=b"origin\n3\n",
        known=2,
        consistency=(b"\3" * 32,),
        result=LoggedResult(index=1, entry=b"{}", path=(b"\4" * 32, b"\5" * 32)),
    )


def _signed(key: str, kind: str, text: str | bytes) -> dict[str, str]:
    """Signs any text as a message of a type."""
    data = text.encode() if isinstance(text, str) else text
    signature = SigningKey.from_bytes(bytes.fromhex(key)).sign(kind, data)
    if isinstance(text, str):
        return {"signature": signature.hex(), "text": text}
    return {"hex": (signature + data).hex()}


def _wrong_envelopes(sheet: Sheet, ctx: str, key: str) -> None:
    fields: dict[str, Any] = {
        "body": {"against": "oslo"},
        "ctx": ctx,
        "from": "lyon",
        "type": "complaint",
        "v": 1,
    }
    text = canonical(fields).decode()
    given = {"type": "complaint"}

    def bad(name: str, because: str, text: Any, kind: str = "MessageRefused") -> None:
        wire = _signed(key, "complaint", text)
        sheet.bad(name, "open_message", kind, because, **given, message=wire)

    def changed(**changes: Any) -> str:
        return canonical(fields | changes).decode()

    not_canonical = "not canonical JSON"
    bad("version 2", "expected protocol version 1", changed(v=2))
    bad("version true", "expected protocol version 1", changed(v=True))
    bad("version as text", "expected protocol version 1", changed(v="1"))
    bad("another step's type", "got consistency", changed(type="consistency"), "OutOfOrder")
    bad("an unknown type", "an unknown type", changed(type="hello"))
    bad("another context", "another context", changed(ctx="0" * 64))
    bad("another sender", "is not from lyon", changed(**{"from": "oslo"}))
    bad("an unknown key", "not an envelope", changed(extra=1))
    missing = {name: value for name, value in fields.items() if name != "ctx"}
    bad("a missing key", "not an envelope", canonical(missing).decode())
    bad("a list", "not an envelope", "[]")
    bad("white space", not_canonical, text.replace(",", ", "))
    bad("keys out of order", not_canonical, '{"v":1,' + text[1:].replace(',"v":1', ""))
    bad("a key twice", not_canonical, text.replace('"v":1', '"v":1,"v":1'))
    bad("1.0", not_canonical, text.replace('"v":1', '"v":1.0'))
    bad("an exponent", not_canonical, text.replace('"v":1', '"v":1e0'))
    bad("an escape", not_canonical, text.replace('"lyon"', '"\\u006cyon"'))
    bad("a line feed at the end", not_canonical, text + "\n")
    bad("truncated", not_canonical, text[:-1])
    bad("not UTF-8", not_canonical, text.encode().replace(b"lyon", b"ly\xffn"))
    bad("deeply nested", not_canonical, "[" * 1200)
    bad("2049 bytes", "too short or too long", text + " " * (2049 - 64 - len(text)))
    bad("only a signature", "too short or too long", "")
    _wrong_signatures(sheet, given, key, text)


def _wrong_signatures(sheet: Sheet, given: dict[str, str], key: str, text: str) -> None:
    right = _signed(key, "complaint", text)
    flipped = f"{int(right['signature'][:2], 16) ^ 1:02x}{right['signature'][2:]}"
    for name, wire in {
        "one bit of the signature changed": {**right, "signature": flipped},
        "one letter of the text changed": {**right, "text": text.replace("oslo", "oslu")},
        "signed for another step": _signed(key, "consistency", text),
        "signed by another key": _signed("00" * 32, "complaint", text),
        "signature of zeros": {**right, "signature": "00" * 64},
    }.items():
        because = "not valid for this key"
        sheet.bad(name, "open_message", "MessageRefused", because, **given, message=wire)
    cut = {"hex": right["signature"][:-2]}
    because = "too short or too long"
    sheet.bad("63 bytes", "open_message", "MessageRefused", because, **given, message=cut)


def _wrong_bodies(sheet: Sheet, ctx: str, key: str) -> None:
    def bad(name: str, because: str, kind: str, body: Any) -> None:
        fields: dict[str, Any] = {"ctx": ctx, "from": "lyon", "type": kind, "v": 1}
        wire = _signed(key, kind, canonical(fields | {"body": body}).decode())
        given = {"type": kind, "message": wire}
        sheet.bad(name, "open_message", "MessageRefused", because, **given)

    hashes = {"blob": "a" * 64, "ledger_head": "b" * 64, "table": []}
    bad("unknown field", "expected exactly the fields", "masked", hashes | {"note": ""})
    bad("missing field", "expected exactly the fields", "masked", {"blob": "a" * 64})
    bad("no object", "expected exactly the fields", "masked", [])
    bad("upper-case digest", "blob: expected text", "masked", hashes | {"blob": "A" * 64})
    bad("digest of 63 digits", "blob: expected text", "masked", hashes | {"blob": "a" * 63})
    bad("digest with a line feed", "blob: expected", "masked", hashes | {"blob": "a" * 64 + "\n"})
    bad("null", "blob: expected text", "masked", hashes | {"blob": None})
    bad("a table of thirty-five", "table: expected a list", "masked", hashes | {"table": [0] * 35})
    bad("a cell beyond 2^40", "table: expected", "masked", hashes | {"table": [2**40 + 1]})
    keys = {n: "00" * 32 for n in ("mask_public", "share_public", "self_commitment")}
    because = "mask_public: expected 64 lower-case"
    bad("upper-case key", because, "advertise", keys | {"mask_public": "AA" * 32})
    bad("key of 31 bytes", because, "advertise", keys | {"mask_public": "00" * 31})
    for name, text in {
        "base64 with a line feed": "c2ln\n",
        "base64 without padding": "c2lnbg",
        "base64 with too much padding": "c2ln====",
        "base64 with bits left over": "c2lnbh==",
        "base64 for URLs": "-_-_",
    }.items():
        bad(name, "adverts: expected", "advert-list", {"adverts": {"lyon": text}})
    long = {"adverts": {"lyon": "A" * 2736}}
    bad("an advert of 2052 bytes", "adverts: expected", "advert-list", long)
    for name, site in {
        "upper case": "Lyon",
        "not ASCII": "ly\u00f3n",
        "empty": "",
        "a slash": "a/b",
    }.items():
        bad(f"site name: {name}", "against: expected text", "complaint", {"against": site})
    bad("site name: 64 long", "against: expected text", "complaint", {"against": "a" * 64})
    bad("a list for a map", "blobs: expected a map", "survivor-list", {"blobs": []})


def _sets(sheet: Sheet) -> None:
    one, two = _signed("00" * 32, "a", "{}"), _signed("00" * 32, "b", "[]")
    sheet.good("signed messages of two sites", "digest_of_messages", messages={"b": one, "a": two})
    sheet.good("the same, in order", "digest_of_messages", messages={"a": two, "b": one})
    sheet.good("blobs of two sites", "digest_of_blobs", blobs={"b": "1" * 64, "a": "2" * 64})
    sheet.good("SHA-256 of each", "header_of", entries=["", "616263"])
    sheet.good("an entry", "parse_entry", hex=bytes(i % 251 for i in range(ENTRY_BYTES)).hex())


def entries_sheet(recorded: Recorded) -> Sheet:
    """What one owner sealed for one holder, and how it can be wrong."""
    exchanges, _ = recorded.played()
    entry = entries_by(exchanges, "oslo")[0]
    key = _send_key(recorded, "oslo", "lyon")
    way = {"key": key.hex(), "owner": "oslo", "holder": "lyon"}
    sheet = Sheet(
        "What an owner sealed for a holder.",
        given={"context": to_json(recorded.context)},
        names={"<commitments>": entry[:64].hex(), "<sealed>": entry[64:].hex()},
    )
    sheet.good("from oslo for lyon", "open_entry", **way, entry=entry.hex())
    flipped = bytes([entry[0] ^ 1]) + entry[1:]
    salted = _resealed(recorded, entry, lambda plain: plain[:66] + bytes(32) + plain[98:])
    exchanged = _resealed(recorded, entry, lambda plain: plain[98:] + plain[:98])
    wide = PRIME.to_bytes(SHARE_BYTES, "big")
    above = _resealed(recorded, entry, lambda plain: wide + plain[66:])
    turned = {**way, "owner": "lyon", "holder": "oslo"}
    for name, given, because in (
        ("truncated", {**way, "entry": entry[:64].hex()}, "an entry has 276 bytes"),
        ("one byte too many", {**way, "entry": entry.hex() + "00"}, "an entry has 276 bytes"),
        ("the other direction", {**turned, "entry": entry.hex()}, "cannot be opened"),
        ("another attempt", {**way, "entry": entry.hex(), "changes": {"attempt": 1}}, "opened"),
        ("another commitment", {**way, "entry": flipped.hex()}, "do not match"),
        ("another salt", {**way, "entry": salted.hex()}, "do not match"),
        ("shares exchanged", {**way, "entry": exchanged.hex()}, "do not match"),
        ("a share that is p", {**way, "entry": above.hex()}, "not an element of the field"),
        ("sealed for oneself: zeros", {**way, "entry": entry[:64].hex() + "00" * 212}, "opened"),
    ):
        sheet.bad(name, "open_entry", "MessageRefused", because, **given)
    return sheet


def _send_key(recorded: Recorded, owner: str, holder: str) -> bytes:
    public = own_secrets(recorded, holder).advert().share_public
    own = own_secrets(recorded, owner)
    return share_keys(own.share_private, public, recorded.context, owner, holder)[0]


def _resealed(recorded: Recorded, entry: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Returns oslo's entry for lyon with other openings under the same commitments."""
    context, key = recorded.context, _send_key(recorded, "oslo", "lyon")
    plain = open_entry(entry, key, context, owner="oslo", holder="lyon").to_bytes()
    return entry[:64] + seal(key, context, "oslo", "lyon", change(plain))
