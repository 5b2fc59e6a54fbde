"""The signature of a folder of files, as OpenSSF model signing 1.0 has it.

A Sigstore bundle (v0.3) around a DSSE envelope, whose payload is an in-toto statement: a file's
path and SHA-256 for each file, in the order of the paths' parts. It is signed with ECDSA over P-256
and SHA-256. The bundle names the public key by the SHA-256 of its PEM. Any verifier of the format
checks it (``python -m model_signing verify key``), and nothing of it needs a network.

Sources: the predicate https://model_signing/signature/v1.0; DSSE 1.0.0 (secure-systems-lab/dsse,
protocol.md); in-toto attestation, Statement v1; Sigstore bundle v0.3.
"""

import base64
import json
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from protocol.encoding import digest
from protocol.errors import MessageRefused

#: The files of a release whose signature and key the folder holds beside the others.
SIGNATURE, PUBLIC_KEY = "model.sig", "release.pub"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
_PREDICATE_TYPE = "https://model_signing/signature/v1.0"
_BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_SERIALIZATION = {
    "method": "files",
    "hash_type": "sha256",
    "allow_symlinks": False,
    "ignore_paths": [SIGNATURE],
}
_MOST_FILES = 1000


def release_statement(name: str, files: Mapping[str, str]) -> bytes:
    """Returns the statement that is signed about a folder's files.

    Args:
        name: the model's name, for people.
        files: the SHA-256 of each file but the signature, in hexadecimal, by its path from the
            folder on, with slashes.
    """
    # As the reference implementation sorts them: by the parts of the path, not by its letters.
    ordered = sorted(files.items(), key=lambda item: PurePosixPath(item[0]))
    root = digest(b"".join(bytes.fromhex(value) for _, value in ordered))
    statement = {
        "_type": _STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": root}}],
        "predicateType": _PREDICATE_TYPE,
        "predicate": {
            "serialization": _SERIALIZATION,
            "resources": [
                {"name": path, "algorithm": "sha256", "digest": value} for path, value in ordered
            ],
        },
    }
    return json.dumps(statement, indent=1).encode()


def signed_release(statement: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Returns the bundle with a statement and its signature: what ``model.sig`` holds.

    Args:
        statement: see ``release_statement``.
        key: a key on P-256.
    """
    signature = key.sign(_signing_input(statement), ec.ECDSA(hashes.SHA256()))
    bundle = {
        "mediaType": _BUNDLE_TYPE,
        "verificationMaterial": {
            "publicKey": {"hint": key_digest(public_pem(key.public_key()))},
            "tlogEntries": [],
        },
        "dsseEnvelope": {
            "payload": base64.b64encode(statement).decode(),
            "payloadType": _PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }
    return json.dumps(bundle, indent=1).encode() + b"\n"


def public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    """Returns a public key as ``release.pub`` holds it: PEM, SubjectPublicKeyInfo."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def key_digest(pem: bytes) -> str:
    """Returns the name of a release key: the SHA-256 of its public half as PEM."""
    return digest(pem)


def open_release(data: bytes, pem: bytes) -> Mapping[str, str]:
    """Returns the SHA-256 of each file of a signed folder, once its signature is verified.

    Args:
        data: the bundle.
        pem: the public key that is trusted.

    Raises:
        MessageRefused: key or bundle has another form, or the key did not sign it.
    """
    public = _public_key(pem)
    try:
        bundle = json.loads(data)
        hint = bundle["verificationMaterial"]["publicKey"]["hint"]
        envelope = bundle["dsseEnvelope"]
        (signed,) = envelope["signatures"]
        statement = base64.b64decode(envelope["payload"], validate=True)
        signature = base64.b64decode(signed["sig"], validate=True)
        is_ours = (bundle["mediaType"], envelope["payloadType"]) == (_BUNDLE_TYPE, _PAYLOAD_TYPE)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise MessageRefused(f"{SIGNATURE} is no signature of a release") from error
    if not is_ours:
        raise MessageRefused(f"{SIGNATURE} is no signature of a release: it is of another type")
    if hint != key_digest(public_pem(public)):
        raise MessageRefused(f"{SIGNATURE} names another key than {PUBLIC_KEY}")
    try:
        public.verify(signature, _signing_input(statement), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise MessageRefused(
            f"the signature in {SIGNATURE} is not by the key in {PUBLIC_KEY}"
        ) from error
    return _files(statement)


def _public_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise MessageRefused(f"{PUBLIC_KEY} holds no public key that is known") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise MessageRefused(f"{PUBLIC_KEY} holds another kind of key than P-256")
    return key


def _signing_input(statement: bytes) -> bytes:
    """Returns DSSE's pre-authentication encoding: what is signed of a payload and its type."""
    head = f"DSSEv1 {len(_PAYLOAD_TYPE)} {_PAYLOAD_TYPE} {len(statement)} "
    return head.encode() + statement


def _files(payload: bytes) -> Mapping[str, str]:
    """Returns the files of a statement.

    Raises:
        MessageRefused: it is another kind of statement, or its sums differ.
    """
    try:
        statement: Any = json.loads(payload)
        resources = statement["predicate"]["resources"]
        files = {str(one["name"]): str(one["digest"]) for one in resources}
        if len(files) != len(resources) or len(files) > _MOST_FILES:
            raise ValueError("a file is named twice, or there are too many")
        (subject,) = statement["subject"]
        same = json.loads(release_statement(str(subject["name"]), files))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise MessageRefused(f"the statement in {SIGNATURE} is not about a folder") from error
    if statement != same:
        raise MessageRefused(f"the statement in {SIGNATURE} is not as model signing 1.0 has it")
    return files
