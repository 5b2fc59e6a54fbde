"""Files of an encrypted model that come from outside: headers, records, the model's own file."""

import io
from contextlib import suppress
from random import Random

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from compliance.storage.encryption.age_header import read_header, unwrapped
from compliance.storage.encryption.age_keys import AgeIdentity, Recipient
from compliance.storage.encryption.history import read_history
from compliance.storage.encryption.model_file import digest_of_model_file
from compliance.storage.encryption.record import (
    NOTHING_BEFORE,
    WeightsEvent,
    WeightsEventKind,
    WeightsManifest,
    line_of,
)
from protocol.encoding import digest
from protocol.errors import MessageRefused, PolicyRefused, StoreBroken
from protocol.identity.roster import SigningKey
from protocol.vectors.tensors import decode_tensors, encode_tensors, model_digest
from tests.long.fuzz.engine import Attempt, Broken, Make, Target
from tests.long.fuzz.mutations import spoil_bytes
from tests.long.fuzz.targets.documents import spoilt_model

_KEY = SigningKey.from_bytes(b"k" * 32)
_ALICE, _BOB = (AgeIdentity(X25519PrivateKey.from_private_bytes(one * 32)) for one in (b"a", b"b"))
_MODEL, _AT = "ab" * 32, "2026-11-29T10:00:00.000Z"
#: A header with a stanza of another kind, as the library adds one.
_HEADERS = (
    b"age-encryption.org/v1\n-> X25519 O6DLx/wDIawpUC978NSPjYvrfDtJVnZApXKp4FMPHCY\n"
    b"3aKjozt9agh7jGmvOKvR4iax41Wl4zj95MKK4X9JuWc\n-> a-grease b c\n\n"
    b"--- HK2NmOBN9Dpq0Gw6xMCuhFcQlQLvZ/wQUi/2scLG75s\n",
    b"-> scrypt ajMFur+EJLGaohv/dLRGnw 18\n8SHBz/ldWnjyGFQqfjat6uNBarWqqEMDS7W8X7+Xq5Q\n",
)


def _prepare_header() -> Make:
    def make(random: Random) -> Attempt:
        data = spoil_bytes(random, _HEADERS[0], _HEADERS)
        return Attempt(data=data, act=lambda: _read_header(data))

    return make


def _read_header(data: bytes) -> None:
    if read_header(data).to_bytes() != data:
        raise Broken("a header is written otherwise than it was read")
    with suppress(PolicyRefused):  # it is no stanza of hers
        unwrapped(read_header(data), _ALICE.private)


def _prepare_record() -> Make:
    who = tuple(Recipient(name=n, key=k.key) for n, k in (("Alice", _ALICE), ("Bob", _BOB)))
    header = digest(b"header")
    whole, head = b"", NOTHING_BEFORE
    for number, (kind, generation) in enumerate(
        (("sealed", 1), ("opened", None), ("rewrapped", 2), ("refused", None))
    ):
        manifest = generation and WeightsManifest(
            model=_MODEL, payload=header, payload_bytes=9, header=header,
            generation=generation, recipients=who,
        )  # fmt: skip
        event = WeightsEvent(
            number=number, previous=head, at=_AT, kind=WeightsEventKind(kind),
            manifest=manifest or None, recipient=None if manifest else _BOB.key,
        )  # fmt: skip
        line = line_of(event, _KEY if manifest else None)
        whole, head = whole + line, digest(line)
    lines = whole.splitlines(keepends=True)

    def make(random: Random) -> Attempt:
        data = spoil_bytes(random, whole, lines)
        return Attempt(data=data, act=lambda: _read_record(data, whole))

    return make


def _read_record(data: bytes, whole: bytes) -> None:
    found = read_history(data, _MODEL, {_KEY.public})
    # What the last signature covers is as it was; after it stand refusals and openings alone.
    signed = [number for number, one in enumerate(found.events) if one.signer is not None]
    covered = b"\n".join(data.split(b"\n")[: signed[-1] + 1])
    if not whole.startswith(covered):
        raise Broken("a record was taken that nobody signed")


def _prepare_model() -> Make:
    models = [encode_tensors({"w": np.ones((3, 4), np.float32), "b": np.zeros(3, np.float32)})]

    def make(random: Random) -> Attempt:
        if random.random() < 0.4:
            data = spoil_bytes(random, models[0], models)
        else:
            data = spoilt_model(random, models[0])
        return Attempt(data=data, act=lambda: _read_model(data))

    return make


def _read_model(data: bytes) -> None:
    found = digest_of_model_file(io.BytesIO(data))
    try:
        known = model_digest(decode_tensors(data))
    except MessageRefused as error:
        raise Broken(f"the file has a digest and is no model: {error}") from error
    if found != known:
        raise Broken("the file's digest is not the model's")


_OF_RECORD = (MessageRefused, StoreBroken)
WEIGHTS_TARGETS = (
    Target(name="age-header", prepare=_prepare_header),
    Target(name="weights-record", prepare=_prepare_record, refusals=_OF_RECORD, weight=3),
    Target(name="model-file", prepare=_prepare_model),
)
