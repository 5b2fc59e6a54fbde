"""Signatures of folders: bound to every path and byte, and to one key."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from compliance.governance.models.release_signature import (
    key_digest,
    open_release,
    public_pem,
    release_statement,
    signed_release,
)
from protocol.errors import MessageRefused

KEY = ec.generate_private_key(ec.SECP256R1())
PEM = public_pem(KEY.public_key())
FILES = {"models/model.pt": "11" * 32, "models.txt": "22" * 32, "a": "33" * 32}


def _signed(statement: bytes, key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    return signed_release(statement, key)


def test_what_was_signed_comes_back() -> None:
    assert open_release(_signed(release_statement("m", FILES)), PEM) == FILES


def test_files_are_ordered_by_the_parts_of_their_paths() -> None:
    statement = json.loads(release_statement("m", FILES))
    names = [one["name"] for one in statement["predicate"]["resources"]]
    assert names == ["a", "models/model.pt", "models.txt"]


def test_the_bundle_names_its_key_by_the_digest_of_the_pem() -> None:
    bundle = json.loads(_signed(release_statement("m", FILES)))
    assert bundle["verificationMaterial"]["publicKey"]["hint"] == key_digest(PEM)


def test_another_key_did_not_sign_it() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(MessageRefused, match="names another key"):
        open_release(_signed(release_statement("m", FILES), other), PEM)
    bundle = json.loads(_signed(release_statement("m", FILES), other))
    bundle["verificationMaterial"]["publicKey"]["hint"] = key_digest(PEM)
    with pytest.raises(MessageRefused, match="is not by the key"):
        open_release(json.dumps(bundle).encode(), PEM)


def test_a_changed_statement_was_not_signed() -> None:
    bundle = json.loads(_signed(release_statement("m", FILES)))
    other = release_statement("m", FILES | {"a": "44" * 32})
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(other).decode()
    with pytest.raises(MessageRefused, match="is not by the key"):
        open_release(json.dumps(bundle).encode(), PEM)


def _without(statement: dict[str, Any]) -> None:
    statement["predicate"]["resources"].pop()


def _twice(statement: dict[str, Any]) -> None:
    statement["predicate"]["resources"].append(statement["predicate"]["resources"][0])


def _ignoring(statement: dict[str, Any]) -> None:
    statement["predicate"]["serialization"]["ignore_paths"].append("models")


def _other_kind(statement: dict[str, Any]) -> None:
    statement["predicateType"] = "https://slsa.dev/provenance/v1"


@pytest.mark.parametrize("change", [_without, _twice, _ignoring, _other_kind])
def test_a_signed_statement_of_another_form_is_refused(change: Any) -> None:
    statement = json.loads(release_statement("m", FILES))
    change(statement)
    with pytest.raises(MessageRefused, match="the statement in model.sig"):
        open_release(_signed(json.dumps(statement).encode()), PEM)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"dsseEnvelope": 1}', b"\xff", b'{"mediaType": "x"}']
)
def test_what_is_no_bundle_is_refused(data: bytes) -> None:
    with pytest.raises(MessageRefused, match="no signature of a release"):
        open_release(data, PEM)


def test_a_key_on_another_curve_is_refused() -> None:
    other = public_pem(ec.generate_private_key(ec.SECP384R1()).public_key())
    with pytest.raises(MessageRefused, match="another kind of key"):
        open_release(_signed(release_statement("m", FILES)), other)
    with pytest.raises(MessageRefused, match="no public key"):
        open_release(_signed(release_statement("m", FILES)), b"nothing")
    unknown = base64.b64decode(b"".join(PEM.splitlines()[1:-1])).replace(b"\x2a\x86", b"\x2a\x76")
    pem = b"-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n" % base64.b64encode(unknown)
    with pytest.raises(MessageRefused, match="no public key that is known"):
        open_release(_signed(release_statement("m", FILES)), pem)
