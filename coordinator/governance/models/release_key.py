"""The key that signs exported models, and the act that it signs them by.

A consortium's identities are Ed25519, which model signing does not take. So the coordinator makes a
P-256 key at the first export: ``release.key`` in its folder (PKCS 8, mode 0600), ``release.pub``
beside it. The digest of the public half is an entry of the log, so whoever trusts the log's key can
check the release key by a proof. The private half never leaves the folder: who exports sends the
files' digests, and is sent a signature.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from compliance.audit.log import NewEntry
from compliance.governance.models.release_signature import (
    PUBLIC_KEY,
    key_digest,
    public_pem,
    release_statement,
    signed_release,
)
from compliance.storage.atomic_file import FOR_ALL, read_whole, write_new, write_whole
from coordinator.database.log.entry_proofs import entry_of, prove_entry
from coordinator.database.store import Store
from coordinator.governance.governance import Authorised
from coordinator.governance.models.snapshots import signed_snapshot
from protocol.encoding import digest, digest_json
from protocol.errors import MessageRefused, PolicyRefused, StoreBroken
from protocol.identity.roster import SigningKey

#: The type of the log's entry of the key; its payload is the digest of the public half.
RELEASE_KEY = "release-key"
#: The proof of that entry, as an exported folder holds it.
KEY_PROOF = "release-key.tlog"
_PRIVATE = "release.key"


class ReleaseRegister:
    """Exports of one consortium's models.

    Args:
        store: the consortium's database.
        key: signs the log.
        home: the coordinator's folder, or one of simulations.
    """

    def __init__(self, store: Store, key: SigningKey, home: Path) -> None:
        self._store, self._key, self._home = store, key, home

    def export(self, taken: Authorised, beside: Mapping[str, Any]) -> dict[str, Any]:
        """Signs the files of an exported model.

        The act names the snapshot by its digest, and in ``files`` the digest of what travels
        beside it: the SHA-256 of each file by its path.

        Returns:
            ``signature``, ``release_key`` (PEM) and ``key_proof``: three more files of the folder,
            the latter two signed with the others.

        Raises:
            PolicyRefused: the snapshot is unknown, or not signed by a quorum.
            MessageRefused: the files are not those that the act names.
            StoreBroken: the release key is missing or damaged.
        """
        files = _files(beside.get("files"))
        if digest_json(dict(files)) != taken.request.details.get("files"):
            raise MessageRefused("the files to sign are not those whose digest the act names")
        with self._store.read() as session:
            signed = signed_snapshot(session, taken.request.subject)
        if signed.snapshot.digest != taken.request.subject:
            raise MessageRefused("an export names its snapshot by the whole digest")
        if len(signed.signatures) < signed.snapshot.quorum:
            raise PolicyRefused(
                f"the snapshot of run {signed.snapshot.run} is signed by {len(signed.signatures)} "
                f"hospitals, {signed.snapshot.quorum} must sign it before it is exported"
            )
        key = self._own_key()
        pem = public_pem(key.public_key())
        proof = self._proven(pem)
        more = {PUBLIC_KEY: digest(pem), KEY_PROOF: digest(proof)}
        name = f"{signed.snapshot.run}-{signed.snapshot.digest[:12]}"
        statement = release_statement(name, {**files, **more})
        return {
            "snapshot": signed.snapshot.digest,
            "signature": signed_release(statement, key).decode(),
            "release_key": pem.decode(),
            "key_proof": proof.decode(),
        }

    def _own_key(self) -> ec.EllipticCurvePrivateKey:
        """Returns the release key, made at first.

        Raises:
            StoreBroken: it is missing where it was made once, or damaged.
        """
        private, public = self._home / _PRIVATE, self._home / PUBLIC_KEY
        if not private.exists():
            if public.exists():
                raise StoreBroken(
                    f"{_PRIVATE} is missing: restore it. To sign with a new key from now on, "
                    f"remove {PUBLIC_KEY} too; folders that were exported stay valid"
                )
            made = ec.generate_private_key(ec.SECP256R1())
            pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            write_new(private, pem)
        try:
            key = load_pem_private_key(read_whole(private), None)
        except (OSError, ValueError, TypeError) as error:
            raise StoreBroken(f"{_PRIVATE} is damaged: restore it") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise StoreBroken(f"{_PRIVATE} is another kind of key: restore it")
        if not public.exists():
            write_whole(public, public_pem(key.public_key()), mode=FOR_ALL)
        return key

    def _proven(self, pem: bytes) -> bytes:
        """Returns the proof of the log's entry of the key, which is written first if need be."""
        name = key_digest(pem)
        with self._store.transaction() as transaction:
            if entry_of(transaction.session, RELEASE_KEY, name) is None:
                entry = NewEntry(type=RELEASE_KEY, run_id=None, payload=name)
                transaction.log([entry], self._key)
        with self._store.read() as session:
            index = entry_of(session, RELEASE_KEY, name)
            if index is None:
                raise StoreBroken("the log lost the entry of the release key")
            return prove_entry(session, self._key.public, index).proof.to_bytes


def _files(said: object) -> Mapping[str, str]:
    """Returns the digests of files by path.

    Raises:
        MessageRefused: they are none.
    """
    if not isinstance(said, Mapping) or not said:
        raise MessageRefused("no files to sign came with the act")
    for path, value in said.items():
        parts = str(path).split("/")
        if {"", ".", ".."} & set(parts) or len(str(value)) != 64:
            raise MessageRefused(f"{str(path)[:80]!r} is no file of an export")
    try:
        return {str(path): bytes.fromhex(str(value)).hex() for path, value in said.items()}
    except ValueError as error:
        raise MessageRefused("a file to sign has no SHA-256") from error
