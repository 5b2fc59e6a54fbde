"""The operations that the vectors in ``tests/vectors`` name: JSON in, JSON out, or a refusal.

Each is the protocol's own function with its arguments read from JSON; an
implementation in another language writes the same table for itself.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocol import encoding
from protocol.codec import from_json, to_json
from protocol.errors import MessageRefused
from protocol.identity.roster import (
    CoordinatorIdentity,
    Member,
    Roster,
    SignedRoster,
    SigningKey,
    parse_roster,
    require_quorum,
    sign_roster,
    verify,
)
from protocol.secagg import log_proof, masking, messages
from protocol.secagg import secret_sharing as shares
from protocol.secagg.context import RoundContext
from protocol.secagg.encrypted_shares import open_entry
from protocol.secagg.messages import Origin
from protocol.secagg.server import SecAggServer, Step
from protocol.study.strategies.registry import STRATEGIES
from protocol.study.study import Study
from protocol.vectors import fixed_point, tensors
from protocol.vectors import ring_bounds as no_wrap
from protocol.vectors.keystream import Keystream, derive_key
from protocol.vectors.update import UpdateVector, chosen_coordinates
from tests.make_vectors.recorded_round import (
    Recorded,
    RecordedSilo,
    answer_pair,
    wire_bytes,
    wire_json,
)
from tests.make_vectors.released import RELEASED
from tests.support.simulated.studies import small_study

Given: TypeAlias = Mapping[str, Any]
Operation: TypeAlias = Callable[[Given], Any]

MESSAGES: Mapping[str, type[messages.Message]] = {
    kind.type: kind
    for kind in (
        messages.RoundOpen,
        messages.HeldHead,
        messages.Advertise,
        messages.AdvertList,
        messages.ShareHeader,
        messages.SenderList,
        messages.Masked,
        messages.Complaint,
        messages.SurvivorList,
        messages.Consistency,
        messages.SignatureList,
        messages.Reveal,
    )
}


def data_of(given: Given) -> bytes:
    """Returns bytes given as ``hex``, as ``text``, or as ``counting``: 0 to 250, over and over."""
    if "counting" in given:
        return bytes(place % 251 for place in range(given["counting"]))
    return given["text"].encode() if "text" in given else bytes.fromhex(given["hex"])


def words_of(given: Given, name: str) -> np.ndarray[Any, np.dtype[np.unsignedinteger]]:
    """Returns a vector of little-endian words."""
    kind = np.dtype(f"<u{given['ring_bits'] // 8}")
    return np.frombuffer(bytes.fromhex(given[name]), kind).copy()


def context_fields(given: Given) -> dict[str, Any]:
    """Returns the given context's fields, some changed and some dropped."""
    fields = given["context"] | given.get("changes", {})
    return {name: value for name, value in fields.items() if name not in given.get("dropped", ())}


def context_of(given: Given) -> RoundContext:
    """Returns the context of these fields; ValueError where a rule is broken."""
    fields = context_fields(given)
    return RoundContext(**fields | {"participants": tuple(fields["participants"])})


def _hex(name: str, given: Given) -> bytes:
    return bytes.fromhex(given[name])


def _real(values: list[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([float(value) for value in values])  # "nan" and "inf" have no form in JSON


def _private(given: Given) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(_hex("private", given))


def _require_threshold(given: Given) -> str:
    participants = [f"site-{number:03d}" for number in range(given["sites"])]
    changes = {name: given[name] for name in ("threshold", "colluders")}
    context_of({"context": given["context"], "changes": changes | {"participants": participants}})
    return "allowed"


def _described_context(given: Given) -> dict[str, Any]:
    context = context_of(given)
    return {
        "text": encoding.canonical(to_json(context)).decode(),
        "digest": context.digest,
        "attempt_slot": context.attempt_slot,
        "round_slot": context.round_slot,
        "vector_slot": context.draw_slot("vector"),
        "survivors_slot": context.draw_slot("survivors"),
        "blob_bytes": context.blob_bytes,
        "most": str(context.most),
    }


def _keystream(given: Given) -> str:
    return Keystream(_hex("key", given), skip=given["skip"]).bytes(given["count"]).hex()


def _keystream_words(given: Given) -> list[str]:
    kind = f"<u{given['ring_bits'] // 8}"
    return [str(word) for word in Keystream(_hex("key", given)).words(given["count"], kind)]


def _derive_key(given: Given) -> str:
    info = bytes.fromhex(given["info_hex"]) if "info_hex" in given else given["info"].encode()
    return derive_key(_hex("secret", given), salt=_hex("salt", given), info=info).hex()


def _mask_key(given: Given) -> dict[str, str]:
    private = masking.mask_private_key(_hex("secret", given), context_of(given))
    public = private.public_key().public_bytes_raw()
    return {"private": private.private_bytes_raw().hex(), "public": public.hex()}


def _pair_key(given: Given) -> str:
    peer = _hex("peer_public", given)
    return masking.pair_key(
        _private(given), peer, context_of(given), given["site"], given["peer"]
    ).hex()


def _share_keys(given: Given) -> dict[str, str]:
    peer = _hex("peer_public", given)
    send, receive = masking.share_keys(
        _private(given), peer, context_of(given), given["site"], given["peer"]
    )
    return {"send": send.hex(), "receive": receive.hex()}


def _require_usable(given: Given) -> str:
    masking.require_usable(_hex("public", given))
    return "usable"


def _sealing(given: Given) -> tuple[bytes, RoundContext, str, str]:
    return _hex("key", given), context_of(given), given["sender"], given["receiver"]


def _mask(given: Given) -> str:
    vector = words_of(given, "vector")
    keys = {name: [bytes.fromhex(key) for key in given[name]] for name in ("add", "subtract")}
    masking.apply_masks(vector, add=keys["add"], subtract=keys["subtract"])
    return vector.tobytes().hex()


def _split(given: Given) -> dict[str, str]:
    coefficients = iter(int(value, 16) for value in given["coefficients"])
    dealt = shares.split(
        _hex("secret", given), given["threshold"], given["xs"], lambda _: next(coefficients)
    )
    return {str(x): share.to_bytes(shares.SHARE_BYTES, "big").hex() for x, share in dealt.items()}


def _combine(given: Given) -> str:
    return shares.combine({int(x): int(share, 16) for x, share in given["shares"].items()}).hex()


def _commit_share(given: Given) -> str:
    return shares.commit(
        _hex("salt", given),
        given["context_digest"],
        given["owner"],
        given["holder"],
        shares.ShareKind(given["kind"]),
        _hex("share", given),
    ).hex()


def _parse_opening(given: Given) -> dict[str, str]:
    opening = shares.parse_opening(_hex("hex", given))
    return {"share": opening.share.hex(), "salt": opening.salt.hex()}


def _parse_entry(given: Given) -> dict[str, str]:
    return {n: value.hex() for n, value in vars(messages.parse_entry(_hex("hex", given))).items()}


def _open_entry(given: Given) -> dict[str, dict[str, str]]:
    openings = open_entry(
        _hex("entry", given),
        _hex("key", given),
        context_of(given),
        owner=given["owner"],
        holder=given["holder"],
    )
    return {
        name: {"share": part.share.hex(), "salt": part.salt.hex()}
        for name, part in (("self", openings.self_share), ("pair", openings.pair_share))
    }


def _encode_update(given: Given) -> str:
    return (
        fixed_point.encode(
            _real(given["update"]),
            weight=float(given["weight"]),
            bound=float(given["bound"]),
            frac_bits=given["frac_bits"],
            ring_bits=given["ring_bits"],
            rounding=Keystream(_hex("rounding", given)) if "rounding" in given else None,
        )
        .astype(f"<u{given['ring_bits'] // 8}", copy=False)
        .tobytes()
        .hex()
    )


def _chosen_coordinates(given: Given) -> list[int]:
    found = chosen_coordinates(_hex("key", given), given["size"], given["count"])
    return [int(place) for place in found]


def _update_vector(given: Given) -> dict[str, Any]:
    layout = tensors.Layout(names=("w",), shapes=((len(given["update"]),),))
    vector = UpdateVector(parameters=layout, scalars=STRATEGIES[given["strategy"]].scalars)
    words = vector.encode(
        _real(given["update"]),
        weight=given["weight"],
        bound=given["bound"],
        frac_bits=given["frac_bits"],
        ring_bits=given["ring_bits"],
    )
    return {"layout_digest": vector.digest, "dim": vector.size, "words": words.tobytes().hex()}


def _decode_update(given: Given) -> list[float]:
    return [
        float(value)
        for value in fixed_point.decode(words_of(given, "words"), frac_bits=given["frac_bits"])
    ]


def _encode_counts(given: Given) -> str:
    counts = np.array([int(value) for value in given["counts"]], dtype=np.int64)
    return fixed_point.encode_counts(counts).astype("<u8", copy=False).tobytes().hex()


def _decode_counts(given: Given) -> list[str]:
    words = words_of({**given, "ring_bits": 64}, "words")
    return [str(value) for value in fixed_point.decode_counts(words)]


def _max_sum_of_updates(given: Given) -> str:
    return str(
        no_wrap.max_sum_of_updates(
            sites=given["sites"], bound=float(given["bound"]), frac_bits=given["frac_bits"]
        )
    )


def _require_sum(given: Given) -> str:
    context_of(given).require_sum(
        words_of({**given, "ring_bits": context_of(given).ring_bits}, "words"), given["sites"]
    )
    return "honest"


def _sign_message(given: Given) -> dict[str, str]:
    message = from_json(MESSAGES[given["type"]], given["body"])
    wire = messages.sign_message(
        message,
        context=given["context_digest"],
        sender=given["sender"],
        key=SigningKey.from_bytes(_hex("private", given)),
    )
    return wire_json(wire)


def _open_message(given: Given) -> Any:
    origin = Origin(
        sender=given["sender"], public=_hex("public", given), context=given["context_digest"]
    )
    kind = MESSAGES[given["type"]]
    return to_json(messages.open_message(wire_bytes(given["message"]), kind, origin))


def _digest_of_messages(given: Given) -> str:
    wires = {site: wire_bytes(value) for site, value in given["messages"].items()}
    return messages.digest_of_messages(wires)


def _public_key(given: Given) -> str:
    return SigningKey.from_bytes(_hex("private", given)).public.hex()


def _sign(given: Given) -> str:
    return SigningKey.from_bytes(_hex("private", given)).sign(given["domain"], data_of(given)).hex()


def _verify(given: Given) -> str:
    verify(_hex("public", given), given["domain"], data_of(given), _hex("signature", given))
    return "valid"


def _roster(given: Given) -> dict[str, Any]:
    members = tuple(Member(**member) for member in given["members"])
    roster = Roster(
        coordinator=CoordinatorIdentity(**given["coordinator"]),
        members=members,
        valid_until=given["valid_until"],
        version=given["version"],
        previous=given["previous"],
    )
    text = roster.canonical_bytes.decode()
    return {"text": text, "digest": roster.digest, "quorum": roster.quorum}


def _parse_roster(given: Given) -> Any:
    return to_json(parse_roster(data_of(given)))


def _sign_roster(given: Given) -> str:
    key = SigningKey.from_bytes(_hex("private", given))
    return sign_roster(parse_roster(given["roster"].encode()), key).hex()


def _require_quorum(given: Given) -> str:
    signatures = {site: bytes.fromhex(value) for site, value in given["signatures"].items()}
    signed = SignedRoster(roster=parse_roster(given["roster"].encode()), signatures=signatures)
    return require_quorum(signed, parse_roster(given["before"].encode())).digest


def _tensors(given: Given) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    return {
        name: np.array(tensor["values"], dtype="<f4").reshape(tensor["shape"])
        for name, tensor in given["tensors"].items()
    }


def _describe_model(given: Given) -> dict[str, Any]:
    model = _tensors(given)
    layout = tensors.layout_of(model)
    pairs: Any = [[n, list(s)] for n, s in zip(layout.names, layout.shapes, strict=True)]
    return {
        "layout": encoding.canonical(pairs).decode(),
        "layout_digest": layout.digest,
        "parameters": tensors.flatten(model).tobytes().hex(),
        "model_digest": tensors.model_digest(model),
    }


def _decode_tensors(given: Given) -> dict[str, Any]:
    model = tensors.decode_tensors(_hex("hex", given))
    return {
        name: {"shape": list(model[name].shape), "values": [float(v) for v in model[name].flat]}
        for name in sorted(model)
    }


def _silo(given: Given) -> Any:
    """The site's answers to the recorded requests of ``played``, then to ``requests``."""
    recorded = Recorded.from_json(given["recorded"])
    silo = recorded.silo(given["site"])
    for name in given["played"]:
        asked = given["recorded"]["steps"][name]
        beside = asked["beside"].get(silo.site)
        silo.answer(
            Step(name), wire_bytes(asked["request"]), bytes.fromhex(beside) if beside else None
        )
    answer: Any = None
    for request in given["requests"]:
        message, beside = answer_pair(request)
        if request.get("complain"):
            return wire_json(_complaint(silo, Step(request["step"]), message, beside))
        answer = silo.answer(Step(request["step"]), message, beside)
    return {"message": wire_json(answer[0]), "beside": answer[1].hex() if answer[1] else None}


def _complaint(silo: RecordedSilo, step: Step, message: bytes, beside: bytes | None) -> bytes:
    try:
        silo.answer(step, message, beside)
    except MessageRefused:
        if silo.machine is not None:
            return silo.machine.complaint()
    raise ValueError("nothing was refused")


def _coordinator(given: Given) -> str:
    """The recorded answers, some ``changed`` or missing (``silent``), some sent ``again``."""
    steps = given["recorded"]["steps"]
    machine: SecAggServer = Recorded.from_json(given["recorded"]).sum_round()
    for step in Step:
        answers = steps[step.value]["answers"] | given.get("changed", {}).get(step.value, {})
        for site in sorted(set(answers) - set(given.get("silent", {}).get(step.value, ()))):
            machine.receive(step, site, *answer_pair(answers[site]))
        for site, answer in given.get("again", {}).get(step.value, {}).items():
            machine.receive(step, site, *answer_pair(answer))
        machine.close(step)
    return machine.total().tobytes().hex()


def _log_proof(given: Given) -> dict[str, Any]:
    """What a hospital checks of the log that a round shows it; a kept head may be none.

    The study has ten rounds, and evaluates as ``evaluation`` says.
    """
    context, public = context_of(given), _hex("public", given)
    proof = from_json(log_proof.LogProof, given["proof"])
    head = log_proof.verify_head(proof, context, public)
    kept = given["kept"]
    if kept is not None:
        known = log_proof.SignedHead(size=kept["size"], root=bytes.fromhex(kept["root"]), note=b"")
        log_proof.verify_extension(known, head, proof.consistency)
    log_proof.verify_result(proof, context, _study_of_ten(given.get("evaluation", {})))
    return {"size": head.size, "root": head.root.hex()}


def _study_of_ten(evaluation: Mapping[str, Any]) -> Study:
    """Returns a study of ten rounds; ``roll_back`` is in thousandths."""
    keys = dict(evaluation)
    if "roll_back" in keys:
        keys["roll_back"] /= 1000
    study = small_study()
    return study.replaced(
        training=study.training.model_copy(update={"rounds": 10}),
        evaluation=study.evaluation.model_copy(update=keys),
    )


OPERATIONS: Mapping[str, Operation] = {
    "canonical": lambda given: encoding.canonical(given["value"]).decode(),
    "parse_canonical": lambda given: encoding.parse_canonical(data_of(given)),
    "digest": lambda given: encoding.digest(data_of(given)),
    "digest_json": lambda given: encoding.digest_json(given["value"]),
    "blob_digest": lambda given: encoding.blob_digest(data_of(given)),
    "keystream": _keystream,
    "keystream_words": _keystream_words,
    "derive_key": _derive_key,
    "context": _described_context,
    "parse_context": lambda given: RoundContext.from_json(context_fields(given)).digest,
    "require_threshold": _require_threshold,
    "mask_key": _mask_key,
    "pair_key": _pair_key,
    "self_key": lambda given: masking.self_key(_hex("secret", given), context_of(given)).hex(),
    "self_commitment": lambda given: masking.self_commitment(
        _hex("secret", given), context_of(given)
    ).hex(),
    "share_keys": _share_keys,
    "require_usable": _require_usable,
    "seal": lambda given: masking.seal(*_sealing(given), _hex("data", given)).hex(),
    "unseal": lambda given: masking.unseal(*_sealing(given), _hex("data", given)).hex(),
    "mask": _mask,
    "split": _split,
    "combine": _combine,
    "commit_share": _commit_share,
    "parse_opening": _parse_opening,
    "parse_entry": _parse_entry,
    "open_entry": _open_entry,
    "header_of": lambda given: messages.header_of(map(bytes.fromhex, given["entries"])).hex(),
    "encode_update": _encode_update,
    "decode_update": _decode_update,
    "update_vector": _update_vector,
    "chosen_coordinates": _chosen_coordinates,
    "encode_counts": _encode_counts,
    "decode_counts": _decode_counts,
    "max_sum_of_updates": _max_sum_of_updates,
    "max_sum_of_counts": lambda given: str(no_wrap.max_sum_of_counts(sites=given["sites"])),
    "least_ring_bits": lambda given: no_wrap.least_ring_bits(int(given["most"])),
    "require_sum": _require_sum,
    "sign_message": _sign_message,
    "open_message": _open_message,
    "digest_of_messages": _digest_of_messages,
    "digest_of_blobs": lambda given: messages.digest_of_blobs(given["blobs"]),
    "public_key": _public_key,
    "sign": _sign,
    "verify": _verify,
    "roster": _roster,
    "parse_roster": _parse_roster,
    "sign_roster": _sign_roster,
    "require_quorum": _require_quorum,
    "describe_model": _describe_model,
    "encode_tensors": lambda given: tensors.encode_tensors(_tensors(given)).hex(),
    "decode_tensors": _decode_tensors,
    "log_proof": _log_proof,
    "silo": _silo,
    "coordinator": _coordinator,
    **RELEASED,
}
