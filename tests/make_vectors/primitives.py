"""The vectors of everything below a round: bytes, keys, shares, numbers, contexts, documents."""

from dataclasses import replace
from typing import Any, TypeAlias

from protocol.encoding import canonical, digest_json
from protocol.identity.roster import COORDINATOR, Member, SigningKey, parse_roster
from protocol.secagg.secret_sharing import PRIME, SHARE_BYTES
from protocol.vectors.ring_bounds import COUNT_LIMIT
from tests.make_vectors.recorded_round import Document, Secrets
from tests.make_vectors.sheet import Sheet

Fields: TypeAlias = dict[str, Any]

KEYS = [bytes(range(start, start + 32)).hex() for start in (0, 32, 64, 96)]
_NOT_CANONICAL = "not canonical JSON"
_NO_POINT = "not a usable point"
_P = 2**255 - 19
_ORDER_8 = (
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)


def encoding_sheet() -> Sheet:
    """Canonical JSON, digests of bytes, digests of blobs."""
    sheet = Sheet("Canonical JSON (RFC 8785), SHA-256 of bytes and of JSON, BLAKE3 of blobs.")
    values: dict[str, Any] = {
        "keys are sorted": {"b": 1, "a": {"d": [], "c": {}}},
        "keys are sorted by UTF-16 code units": {"\ufb33": 1, "\U0001f600": 2, "\u00e9": 3},
        "literals and integers": [None, True, False, 0, -1, 2**53 - 1],
        "numbers in their shortest form": [1e-05, 0.5, 1e21, 1e-07, 333333333.33333329],
        "a whole real number is written as an integer": [1.0, -0.0],
        "only what must be escaped is escaped": '\u0001\b\t\n\f\r"\\/\u007f\u00e9\u20ac',
    }
    for name, value in values.items():
        sheet.good(name, "canonical", value=value)
    for value in ({"b": 1, "a": [True, None]}, [1.0, 0.5], "\u00e9"):
        sheet.good("SHA-256 of the canonical form", "digest_json", value=value)
    for name, text in {
        "white space": '{"a": 1}',
        "white space at the end": '{"a":1}\n',
        "keys out of order": '{"b":1,"a":2}',
        "a key twice": '{"a":1,"a":1}',
        "1.0": "1.0",
        "an exponent": "1e3",
        "minus zero": "-0",
        "a leading zero": "01",
        "beyond 2^53 - 1": "9007199254740992",
        "NaN": "NaN",
        "an escape that is not needed": '"\\u0041"',
        "an escape in upper case": '"\\u001F"',
        "a lone surrogate": '"\\ud800"',
        "two values": "{}{}",
        "truncated": '{"a":1',
        "nothing": "",
        "a byte order mark": "\ufeff{}",
    }.items():
        sheet.bad(name, "parse_canonical", "MessageRefused", _NOT_CANONICAL, text=text)
    sheet.bad("not UTF-8", "parse_canonical", "MessageRefused", _NOT_CANONICAL, hex="22ff22")
    sheet.good("SHA-256 of nothing", "digest", hex="")
    sheet.good("SHA-256 of three bytes", "digest", text="abc")
    for count in (0, 1, 63, 64, 65, 1023, 1024, 1025, 2049, 31744):
        sheet.good(f"BLAKE3 of {count} bytes", "blob_digest", counting=count)
    return sheet


def keystream_sheet() -> Sheet:
    """AES-256-CTR and HKDF-SHA256."""
    sheet = Sheet("Streams: AES-256-CTR over zeros from counter 0. Keys: HKDF-SHA256, 32 bytes.")
    for key in (bytes(32).hex(), KEYS[0]):
        for skip, count in ((0, 64), (16, 16), (48, 20), (2**36, 16)):
            name = f"{count} bytes from byte {skip}"
            sheet.good(name, "keystream", key=key, skip=skip, count=count)
    for bits in (16, 32, 64):
        sheet.good(
            f"little-endian words of {bits} bits",
            "keystream_words",
            key=bytes(32).hex(),
            ring_bits=bits,
            count=4,
        )
    refusals = {"a short key": (KEYS[0][:-2], 0, "a key has 32 bytes")}
    refusals |= {"half a block": (KEYS[0], 8, "multiple of 16 bytes")}
    refusals |= {"backwards": (KEYS[0], -16, "multiple of 16 bytes")}
    for name, (key, skip, because) in refusals.items():
        sheet.bad(name, "keystream", "ValueError", because, key=key, skip=skip, count=16)
    sheet.good(
        "RFC 5869, test case 1, its first 32 bytes",
        "derive_key",
        secret="0b" * 22,
        salt=bytes(range(13)).hex(),
        info_hex=bytes(range(0xF0, 0xFA)).hex(),
    )
    sheet.good(
        "a label of the protocol",
        "derive_key",
        secret=KEYS[0],
        salt="c0" * 32,
        info="collegium/sa1/pair/lyon/oslo",
    )
    return sheet


def masking_sheet(context: Document) -> Sheet:
    """Keys of one context, sealing, masks."""
    sheet = Sheet(
        "Keys that follow from secrets and the context's digest; sealing; masks.",
        given={"context": context},
    )
    ours = sheet.good("the X25519 key of a pair secret", "mask_key", secret=KEYS[0])
    theirs = sheet.good("another site's", "mask_key", secret=KEYS[1])
    for site, peer, own, other in (("lyon", "oslo", ours, theirs), ("oslo", "lyon", theirs, ours)):
        ends = {"private": own["private"], "peer_public": other["public"]}
        sheet.good(f"{site} and {peer}", "pair_key", **ends, site=site, peer=peer)
        sheet.good(f"{site} and {peer}", "share_keys", **ends, site=site, peer=peer)
    sheet.good("another attempt, another key", "mask_key", secret=KEYS[0], changes={"attempt": 1})
    for attempt in (0, 1):
        changes = {"attempt": attempt}
        sheet.good(f"attempt {attempt}", "self_key", secret=KEYS[2], changes=changes)
        sheet.good(f"attempt {attempt}", "self_commitment", secret=KEYS[2], changes=changes)
    _small_order(sheet, ours["private"], theirs["public"])
    _sealing(sheet)
    _masks(sheet)
    return sheet


def _small_order(sheet: Sheet, private: str, public: str) -> None:
    sheet.good("a usable point", "require_usable", public=public)
    for value in (0, 1, *_ORDER_8, _P - 1, _P, _P + 1):
        for high_bit in (0, 1 << 255):
            point = (value | high_bit).to_bytes(32, "little").hex()
            name = f"small order{', last bit set' if high_bit else ''}"
            sheet.bad(name, "require_usable", "MessageRefused", _NO_POINT, public=point)
        ends = {"private": private, "site": "lyon", "peer": "oslo"}
        point = value.to_bytes(32, "little").hex()
        refusal = ("pair_key", "MessageRefused", _NO_POINT)
        sheet.bad("small order", *refusal, **ends, peer_public=point)
    sheet.bad("small order", "share_keys", *refusal[1:], **ends, peer_public="00" * 32)
    sheet.bad("31 bytes", "require_usable", "MessageRefused", _NO_POINT, public=public[:-2])
    sheet.bad("33 bytes", "require_usable", "MessageRefused", _NO_POINT, public=public + "00")


def _sealing(sheet: Sheet) -> None:
    way = {"key": KEYS[3], "sender": "lyon", "receiver": "oslo"}
    sealed = sheet.good("lyon for oslo", "seal", **way, data=KEYS[0])
    sheet.good("lyon for oslo", "unseal", **way, data=sealed)
    wrong: dict[str, Fields] = {
        "the other direction": {"sender": "oslo", "receiver": "lyon"},
        "another context": {"changes": {"attempt": 1}},
        "another key": {"key": KEYS[0]},
        "one bit changed": {"data": f"{int(sealed[:2], 16) ^ 1:02x}{sealed[2:]}"},
        "truncated": {"data": sealed[:-2]},
    }
    for name, changes in wrong.items():
        given = {**way, "data": sealed, **changes}
        sheet.bad(name, "unseal", "MessageRefused", "cannot be opened", **given)
    sheet.bad("no tag", "unseal", "MessageRefused", "cannot be opened", **way, data="")


def _masks(sheet: Sheet) -> None:
    for bits in (16, 32, 64):
        for name, add, subtract in (
            ("one stream added", KEYS[:1], []),
            ("one stream subtracted", [], KEYS[:1]),
            ("two added, one subtracted", KEYS[:2], KEYS[2:3]),
        ):
            sheet.good(
                f"{bits} bits: {name}",
                "mask",
                ring_bits=bits,
                vector=("00" * (bits // 8) + "ff" * (bits // 8)) * 3,
                add=add,
                subtract=subtract,
            )


def shares_sheet(context: Document) -> Sheet:
    """Shamir's shares, openings and commitments."""
    sheet = Sheet("Shamir's shares modulo 2^521 - 1, their openings and commitments.")
    drawn = Secrets.drawn("shares", "lyon", ["lyon"], 4)
    element = [value.hex() for value in drawn.self_coefficients]
    for name, threshold, xs, coefficients in (
        ("two of three", 2, [1, 2, 3], element[:1]),
        ("three of four, the second dropped out", 3, [1, 3, 4], element[:2]),
        ("a polynomial that is small", 2, [1, 2], [f"{1:0132x}"]),
    ):
        given = {"secret": KEYS[0], "threshold": threshold, "xs": xs}
        sheet.good(name, "split", **given, coefficients=coefficients)
    four = {"secret": KEYS[0], "threshold": 4, "xs": [1, 2, 3, 4]}
    dealt = sheet.good("four of four", "split", **four, coefficients=element[:3])
    sheet.good("four of four", "combine", shares=dealt)
    largest = (2**256 - 1).to_bytes(66, "big").hex()
    sheet.good("the largest secret", "combine", shares={"1": largest})
    for name, value in (("one more than the largest", 2**256), ("p - 1", PRIME - 1)):
        given = {"shares": {"1": value.to_bytes(66, "big").hex()}}
        sheet.bad(name, "combine", "MessageRefused", "do not give a secret", **given)
    wrong = {**dealt, "1": dealt["2"]}
    sheet.bad("a wrong share", "combine", "MessageRefused", "do not give a secret", shares=wrong)
    for name, changes, because in (
        ("a coordinate twice", {"xs": [1, 2, 2, 3]}, "distinct and above 0"),
        ("coordinate 0", {"xs": [0, 1, 2, 3]}, "distinct and above 0"),
        ("too few holders", {"xs": [1, 2, 3]}, "cannot reach a threshold"),
        ("a short secret", {"secret": KEYS[0][:-2]}, "a secret has 32 bytes"),
    ):
        given = {**four, "coefficients": element[:3], **changes}
        sheet.bad(name, "split", "ValueError", because, **given)
    _openings(sheet, digest_json(context), dealt["1"])
    return sheet


def _openings(sheet: Sheet, context_digest: str, share: str) -> None:
    opening = {"salt": KEYS[1], "share": share}
    named = {"context_digest": context_digest, "owner": "lyon", "holder": "oslo"}
    for kind in ("self", "pair"):
        sheet.good(f"a {kind} share", "commit_share", **opening, **named, kind=kind)
    turned = {**named, "owner": "oslo", "holder": "lyon"}
    sheet.good("owner and holder exchanged", "commit_share", **opening, **turned, kind="self")
    for name, changes in {
        "a short share": {"share": share[2:]},
        "a short salt": {"salt": "00"},
    }.items():
        given = {**opening, **named, "kind": "self", **changes}
        sheet.bad(name, "commit_share", "ValueError", "a salt has 32 bytes", **given)
    sheet.good("share and salt", "parse_opening", hex=share + KEYS[1])
    for name, value in (("p", PRIME), ("the largest of 66 bytes", 2**528 - 1)):
        data = value.to_bytes(SHARE_BYTES, "big").hex() + KEYS[1]
        because = "not an element of the field"
        sheet.bad(name, "parse_opening", "MessageRefused", because, hex=data)
    for name, data in (("97 bytes", share + KEYS[1][2:]), ("99 bytes", share + KEYS[1] + "00")):
        sheet.bad(name, "parse_opening", "MessageRefused", "an opening has 98 bytes", hex=data)


def numbers_sheet(training: Document, counting: Document) -> Sheet:
    """Fixed point, counts, rings."""
    sheet = Sheet("Updates and counts as words of a ring; which ring; which sums are honest.")
    usual: Fields = {"weight": 1.0, "bound": 16.0, "frac_bits": 2, "ring_bits": 32}
    halves = [0.125, 0.375, 0.625, -0.125, -0.375, -0.625]
    for name, update, changes in (
        ("units of a quarter", [0.25, -0.25, 0.0, 3.5], {}),
        ("64 bits", [0.25, -0.25, 0.0, 3.5], {"ring_bits": 64}),
        ("halves to even", halves, {}),
        ("halves to even, 64 bits", halves, {"ring_bits": 64}),
        ("half the weight", [1.0, -3.0, 0.25, 0.75], {"weight": 0.5}),
        ("shortened from 5 to 1", [3.0, 4.0], {"bound": 1.0, "frac_bits": 20}),
        ("as long as the bound: not shortened", [3.0, 4.0], {"bound": 5.0, "frac_bits": 20}),
        ("squares beyond float64", [3e200, -4e200], {"bound": 1.0, "frac_bits": 20}),
        ("squares below float64", [3e-200, 4e-200], {"bound": 1.0, "frac_bits": 30}),
        ("zeros", [0.0, -0.0], {}),
        ("16 bits", [0.25, -0.25, 0.0, 3.5], {"ring_bits": 16}),
        ("16 bits, rounded at random", halves, {"ring_bits": 16, "rounding": KEYS[0]}),
    ):
        words = sheet.good(name, "encode_update", update=update, **{**usual, **changes})
        units = {"frac_bits": {**usual, **changes}["frac_bits"], "words": words}
        bits = {**usual, **changes}["ring_bits"]
        sheet.good(name, "decode_update", **units, ring_bits=bits)
    behind: Fields = {**usual, "update": [3.0, 4.0], "bound": 10.0, "weight": 0.5}
    for strategy in ("fedavg", "fedexp"):
        sheet.good(f"two parameters for {strategy}", "update_vector", **behind, strategy=strategy)
    for size, count in ((8, 3), (8, 8), (1000, 5)):
        sheet.good(
            f"{count} of {size} coordinates", "chosen_coordinates",
            key=KEYS[0], size=size, count=count,
        )  # fmt: skip
    for value in ("nan", "inf", "-inf"):
        given = {"update": [0.0, value], **usual}
        sheet.bad(value, "encode_update", "UpdateRefused", "not finite", **given)
    wrong: list[tuple[str, Fields, str]] = [
        ("no weight", {"weight": 0.0}, "weight must lie in"),
        ("weight above 1", {"weight": 1.5}, "weight must lie in"),
        ("weight NaN", {"weight": "nan"}, "weight must lie in"),
        ("bound 0", {"bound": 0.0}, "finite and positive"),
        ("bound infinite", {"bound": "inf"}, "finite and positive"),
        ("wraps 32 bits", {"frac_bits": 27}, "could wrap 32 bits"),
    ]
    for name, changes, because in wrong:
        given = {"update": [0.0], **usual, **changes}
        sheet.bad(name, "encode_update", "ValueError", because, **given)
    _counts(sheet)
    _rings(sheet)
    _sums(sheet, training, counting)
    return sheet


def _counts(sheet: Sheet) -> None:
    counts = ["3", "-1", "0", str(COUNT_LIMIT), str(-COUNT_LIMIT)]
    words = sheet.good("counts", "encode_counts", counts=counts)
    sheet.good("counts", "decode_counts", words=words)
    for name, count in (("above", COUNT_LIMIT + 1), ("below", -COUNT_LIMIT - 1)):
        because = "beyond what any hospital counts"
        sheet.bad(
            f"{name} the limit", "encode_counts", "UpdateRefused", because, counts=[str(count)]
        )


def _rings(sheet: Sheet) -> None:
    for sites, bound, frac_bits in ((4, 16.0, 20), (100, 16.0, 20), (3, 0.1, 4)):
        given = {"sites": sites, "bound": bound, "frac_bits": frac_bits}
        sheet.good(f"{sites} sites, bound {bound}", "max_sum_of_updates", **given)
    sheet.good("counts of three sites", "max_sum_of_counts", sites=3)
    for most in (1, 2**31 - 1, 2**31, 2**63 - 1):
        sheet.good(f"sums up to {most}", "least_ring_bits", most=str(most))
    sheet.bad("2^63", "least_ring_bits", "ValueError", "could wrap 64 bits", most=str(2**63))


def _sums(sheet: Sheet, training: Document, counting: Document) -> None:
    longest = [48 << 20, 0, 0, 0, 0, 0, 0, 0]  # three sites x bound 16 x 2^20
    # Behind the parameters up to 16 scalars may travel, each up to 1: the limit is 3 x 16.49.
    for name, first in (("as long as three can be", 0), ("negative", -97 << 20)):
        words = [longest[0] + first, *longest[1:]]
        given = {"context": training, "sites": 3, "words": _words(words, 4)}
        sheet.good(name, "require_sum", **given)
    too_long = {"context": training, "sites": 3, "words": _words([50 << 20, *longest[1:]], 4)}
    sheet.bad("too long", "require_sum", "SumRefused", "longer than its updates can be", **too_long)
    most = 3 * COUNT_LIMIT
    for count in (most, -most):
        cells = _words([count] + [0] * 15, 8)
        sheet.good(f"{count} in units", "require_sum", context=counting, sites=3, words=cells)
    cells = _words([most + 1] + [0] * 15, 8)
    given = {"context": counting, "sites": 3, "words": cells}
    sheet.bad("one more", "require_sum", "SumRefused", "more patients than there are", **given)


def _words(values: list[int], size: int) -> str:
    return b"".join(value.to_bytes(size, "little", signed=True) for value in values).hex()


def context_sheet(training: Document, counting: Document) -> Sheet:
    """Contexts, and the rules of their fields."""
    about = "A round's context: its canonical form, its digest and its rules."
    sheet = Sheet(about, given={"context": training})
    sheet.good("a training round", "context")
    sheet.good("an evaluation", "context", context=counting)
    sheet.good("another attempt has another digest", "context", changes={"attempt": 1})
    sheet.good("another draw has another digest", "context", changes={"attempt": 2, "draw": 1})
    for n, t, colluders in (
        (3, 3, 1), (4, 3, 1), (8, 6, 3), (100, 67, 33),
    ):  # fmt: skip
        given: Fields = {"sites": n, "threshold": t}
        name = f"{t} of {n}"
        sheet.good(f"{name}, C = {colluders}", "require_threshold", **given, colluders=colluders)
        refusal = ("require_threshold", "ValueError", "t <= n, 2t > n + C and t - C >= 2")
        sheet.bad(f"{name}, C = {colluders + 1}", *refusal, **given, colluders=colluders + 1)
    few: Fields = {"sites": 2, "threshold": 2, "colluders": 0}
    sheet.bad("two sites", "require_threshold", "ValueError", "at least three participants", **few)
    many: Fields = {"sites": 4, "threshold": 5, "colluders": 1}
    sheet.bad("t > n", "require_threshold", "ValueError", "t <= n", **many)
    for name, changes, because in _wrong_contexts():
        sheet.bad(name, "parse_context", "MessageRefused", because, changes=changes)
    for name, changes, because in _wrong_contexts()[:4]:
        sheet.bad(f"{name}, built at home", "context", "ValueError", because, changes=changes)
    malformed: list[tuple[str, Fields, str]] = [
        ("a field is missing", {"dropped": ["dim"]}, "expected exactly the fields"),
        ("a field is unknown", {"changes": {"extra": 1}}, "expected exactly the fields"),
        ("a number that is no integer", {"changes": {"dim": 8.5}}, "dim: expected an integer"),
        ("true for 1", {"changes": {"suite": True}}, "suite: expected an integer"),
    ]
    for name, wrong, because in malformed:
        sheet.bad(name, "parse_context", "MessageRefused", because, **wrong)
    return sheet


def _wrong_contexts() -> list[tuple[str, dict[str, Any], str]]:
    return [
        ("another protocol", {"proto": "sa2"}, "proto"),
        ("another suite", {"suite": 2}, "suite"),
        ("upper-case digest", {"log_root": "A" * 64}, "log_root"),
        ("short digest", {"log_root": "a" * 63}, "log_root"),
        ("unknown kind of round", {"round_kind": "statistics"}, "round_kind"),
        ("a slash in the run's name", {"run_id": "a/b"}, "run_id"),
        ("round -1", {"round": -1}, "round"),
        (
            "participants out of order",
            {"participants": ["oslo", "lyon", "porto", "turin"]},
            "sorted",
        ),
        ("a site twice", {"participants": ["lyon", "lyon", "oslo", "turin"]}, "each named once"),
        (
            "a site in upper case",
            {"participants": ["Lyon", "oslo", "porto", "turin"]},
            "participants",
        ),
        ("2t = n + C", {"threshold": 3, "colluders": 2}, "threshold 3 with 4 sites"),
        ("no coordinates", {"dim": 0}, "dim"),
        ("too many coordinates", {"dim": 10**8 + 1}, "dim"),
        ("a ring of 48 bits", {"ring_bits": 48}, "32 or 64 bits"),
        ("a ring that could wrap", {"frac_bits": 27}, "could wrap 32 bits"),
        ("bound not in its canonical spelling", {"bound": "16"}, "canonical spelling"),
        ("bound below zero", {"bound": "-1.0"}, "finite and positive"),
        ("bound NaN", {"bound": "nan"}, "bound"),
    ]


def identity_sheet() -> Sheet:
    """Signatures, rosters, quorums."""
    sheet = Sheet("Ed25519 signatures under a domain; rosters and the quorum that changes them.")
    given = {"domain": "advertise", "text": "{}"}
    sheet.good("public key", "public_key", private=KEYS[0])
    signature = sheet.good("domain, line feed, data", "sign", private=KEYS[0], **given)
    public = SigningKey.from_bytes(bytes.fromhex(KEYS[0])).public.hex()
    signed = {**given, "public": public, "signature": signature}
    sheet.good("its signature", "verify", **signed)
    for name, changes in {
        "another domain": {"domain": "masked"},
        "other data": {"text": "{ }"},
        "another key": {"public": KEYS[1]},
        "no key": {"public": "00"},
        "one bit changed": {"signature": f"{int(signature[:2], 16) ^ 1:02x}{signature[2:]}"},
        "truncated": {"signature": signature[:-2]},
    }.items():
        because = "not valid for this key"
        sheet.bad(name, "verify", "MessageRefused", because, **{**signed, **changes})
    because = "a domain is one line"
    two = {**given, "domain": "a\nb"}
    sheet.bad("domain of two lines", "sign", "ValueError", because, private=KEYS[0], **two)
    _rosters(sheet)
    return sheet


def _rosters(sheet: Sheet) -> None:
    sites = ("lyon", "oslo", "porto", "turin")
    keys = {s: SigningKey.from_bytes(bytes.fromhex(KEYS[place])) for place, s in enumerate(sites)}
    members = tuple(Member(site=site, public_key=keys[site].public.hex()) for site in sites)
    written = [{"site": member.site, "public_key": member.public_key} for member in members]
    coordinator = {"public_key": "a" * 64, "root": "0" * 64}
    beside = {"coordinator": coordinator, "valid_until": "2027-01-01T00:00:00.000Z"}
    first = sheet.good(
        "four members", "roster", members=written, version=1, previous=None, **beside
    )
    sheet.good("four members", "parse_roster", text=first["text"])
    for name, members_json, because in (
        ("members out of order", written[::-1], "sorted by site"),
        ("a member twice", [written[0], *written], "each named once"),
        ("a key twice", [{**written[0], "site": "ghent"}, *written], "the same key"),
        ("nobody", [], "members must be sorted"),
        ("a member called coordinator", [{**written[0], "site": COORDINATOR}], "no hospital"),
        ("a key in upper case", [{**written[0], "public_key": "A" * 64}], "public_key"),
    ):
        fields = {"members": members_json, "version": 1, "previous": None, **beside}
        text = canonical(fields).decode()
        sheet.bad(name, "parse_roster", "MessageRefused", because, text=text)
    text = first["text"].replace('"version":1', '"version":0')
    sheet.bad("version 0", "parse_roster", "MessageRefused", "version", text=text)
    for name, old, new, because in (
        ("a day that is none", "2027-01-01", "2027-02-30", "day is out of range"),
        ("no root's digest", "0" * 64, "0" * 63, "root"),
        ("a time without milliseconds", "00.000Z", "00Z", "valid_until"),
    ):
        text = first["text"].replace(old, new)
        sheet.bad(name, "parse_roster", "MessageRefused", because, text=text)
    before = parse_roster(first["text"].encode())
    after = replace(before, members=members[:3], version=2, previous=before.digest)
    text = after.canonical_bytes.decode()
    sheet.add_given(before=first["text"], roster=text)
    votes = {
        site: sheet.good(f"{site} signs", "sign_roster", private=KEYS[place])
        for place, site in enumerate(sites)
    }
    _quorums(sheet, text, votes)


def _quorums(sheet: Sheet, roster: str, votes: dict[str, str]) -> None:
    three = {site: votes[site] for site in ("lyon", "oslo", "turin")}
    two = {site: votes[site] for site in ("lyon", "oslo")}
    operation = "require_quorum"
    sheet.good("three of four", operation, signatures=three)
    sheet.bad("two of four", operation, "QuorumLost", "3 must", signatures=two)
    stranger = {**three, "rome": votes["lyon"]}
    because = "is not in the roster"
    sheet.bad("a stranger", operation, "MessageRefused", because, signatures=stranger)
    forged = {**three, "porto": votes["lyon"]}
    because = "not valid for this key"
    sheet.bad("a forged vote", operation, "MessageRefused", because, signatures=forged)
    because = "names another coordinator"
    other = {"roster": roster.replace("0" * 64, "1" * 64), "signatures": three}
    sheet.bad("another root", operation, "MessageRefused", because, **other)
    because = "does not follow"
    same = {"before": roster, "signatures": three}
    sheet.bad("not the next version", operation, "MessageRefused", because, **same)


def tensors_sheet(model: Document) -> Sheet:
    """Models: layout, parameters, files."""
    sheet = Sheet("A model's layout, parameters and digests; safetensors files.")
    sheet.good("two tensors", "describe_model", tensors=model)
    turned = {name: model[name] for name in reversed(list(model))}
    sheet.good("in another order, the same", "describe_model", tensors=turned)
    sheet.good("one number", "describe_model", tensors={"scale": {"shape": [], "values": [1.5]}})
    data = sheet.good("two tensors", "encode_tensors", tensors=model)
    sheet.good("two tensors", "decode_tensors", hex=data)
    floats = b'{"w":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}}'
    wide = (len(floats).to_bytes(8, "little") + floats + bytes(8)).hex()
    nan = data[: -2 * 4] + "0000c07f"
    for name, file, because in (
        ("truncated", data[:-2], "not safetensors"),
        ("nothing", "", "not safetensors"),
        ("float64", wide, "expected float32"),
        ("NaN", nan, "not finite"),
        ("infinity", data[: -2 * 4] + "0000807f", "not finite"),
    ):
        sheet.bad(name, "decode_tensors", "MessageRefused", because, hex=file)
    return sheet
