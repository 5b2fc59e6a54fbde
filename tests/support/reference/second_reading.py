"""A whole honest round computed from docs/protocol.md alone: no line of ``protocol`` is used.

From the secrets and vectors of a recorded round follows every byte that
travels; whoever reads the page must come to the same ones.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tests.support.reference.secure_sum import masked

P = 2**521 - 1
LEDGER_HEAD = "9" * 64


def canonical(value: Any) -> bytes:
    """RFC 8785, for ASCII text and integers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def sha(data: bytes) -> str:
    """A digest as the page writes it."""
    return hashlib.sha256(data).hexdigest()


class SecondReading:
    """One recorded round, read again: ``requests``, ``beside`` and ``answers`` by step."""

    def __init__(self, frozen: Mapping[str, Any]) -> None:
        self.context = frozen["context"]
        self.ctx = sha(canonical(self.context))
        self.sites = sorted(frozen["sites"])
        self.survivors = [site for site in self.sites if site not in frozen["lost"]]
        self._frozen = frozen
        self._secrets = {site: frozen["sites"][site]["secrets"] for site in self.sites}
        self._public = {site: self._publics(site) for site in self.sites}
        self.requests: dict[str, bytes] = {}
        self.beside: dict[str, dict[str, bytes]] = {}
        self.answers: dict[str, dict[str, tuple[bytes, bytes | None]]] = {}
        self._advertise()
        self._share()
        self._mask()
        self._finish()

    def _advertise(self) -> None:
        self._ask("advertise", "round-open", {"context": self.context, "log": None, "own": None})
        for site in self.sites:
            self._say("advertise", "advertise", site, self._public[site])

    def _share(self) -> None:
        adverts = self._said("advertise")
        self._ask("share", "advert-list", {"adverts": self._base64(adverts)})
        for owner in self.sites:
            entries = [self._entry(owner, holder) for holder in self.sites]
            named = b"".join(hashlib.sha256(entry).digest() for entry in entries)
            body = {"adverts": self._set(adverts), "entries": base64.b64encode(named).decode()}
            self._say("share", "share", owner, body, b"".join(entries))

    def _mask(self) -> None:
        headers = self._said("share")
        self._ask("masked", "sender-list", {"headers": self._base64(headers)})
        self.beside["masked"] = {
            holder: b"".join(self._entry(owner, holder) for owner in self.sites)
            for holder in self.sites
        }
        for site in self.survivors:
            blob = self._masked_vector(site)
            body = {
                "blob": blake3(blob).hexdigest(),
                "ledger_head": LEDGER_HEAD,
                "table": self._frozen["sites"][site]["table"],
            }
            self._say("masked", "masked", site, body, blob)

    def _finish(self) -> None:
        blobs = {s: blake3(self.answers["masked"][s][1] or b"").hexdigest() for s in self.survivors}
        self._ask("consistency", "survivor-list", {"blobs": blobs})
        adverts, headers = self._set(self._said("advertise")), self._set(self._said("share"))
        said = {"adverts": adverts, "senders": headers, "survivors": sha(canonical(blobs))}
        for site in self.survivors:
            self._say("consistency", "consistency", site, said)
        signatures = self._base64(self._said("consistency"))
        self._ask("unmask", "signature-list", {"signatures": signatures})
        for site in self.survivors:
            body = {
                "self_shares": self._openings("self", self.survivors, site),
                "pair_shares": self._openings("pair", sorted(self._frozen["lost"]), site),
            }
            self._say("unmask", "reveal", site, body)

    def total(self) -> list[int]:
        """The sum, unmasked with the revealed shares only."""
        bits, size = self.context["ring_bits"], self.context["dim"]
        vectors = [self._words(self.answers["masked"][s][1] or b"") for s in self.survivors]
        summed = [sum(column) for column in zip(*vectors, strict=True)]
        add: list[bytes] = []
        subtract = [self._key(self._rebuilt("self", s), "self") for s in self.survivors]
        for lost in sorted(self._frozen["lost"]):
            private = self._x25519(self._key(self._rebuilt("pair", lost), "mask-x25519"))
            for site in self.survivors:
                key = self._pair(private, lost, site)
                (subtract if site < lost else add).append(key)
        assert len(summed) == size
        return masked(summed, add, subtract, bits)

    def _ask(self, step: str, kind: str, body: Any) -> None:
        private = bytes.fromhex(self._frozen["coordinator"]["private"])
        self.requests[step] = self._signed(kind, "coordinator", private, body)
        self.beside[step], self.answers[step] = {}, {}

    def _say(self, step: str, kind: str, site: str, body: Any, beside: bytes | None = None) -> None:
        private = bytes.fromhex(self._secrets[site]["identity"])
        self.answers[step][site] = self._signed(kind, site, private, body), beside

    def _signed(self, kind: str, sender: str, private: bytes, body: Any) -> bytes:
        data = canonical({"v": 1, "type": kind, "ctx": self.ctx, "from": sender, "body": body})
        key = Ed25519PrivateKey.from_private_bytes(private)
        return key.sign(f"collegium/v1/{kind}\n".encode() + data) + data

    def _said(self, step: str) -> dict[str, bytes]:
        return {site: message for site, (message, _) in self.answers[step].items()}

    def _base64(self, messages: Mapping[str, bytes]) -> dict[str, str]:
        return {site: base64.b64encode(message).decode() for site, message in messages.items()}

    def _set(self, messages: Mapping[str, bytes]) -> str:
        return sha(canonical({site: sha(message) for site, message in messages.items()}))

    def _publics(self, site: str) -> dict[str, str]:
        secrets = self._secrets[site]
        mask = self._x25519(self._key(bytes.fromhex(secrets["pair_secret"]), "mask-x25519"))
        share = self._x25519(bytes.fromhex(secrets["share_private"]))
        label = f"collegium/sa1\nself-secret\n{self.ctx}\n".encode()
        return {
            "mask_public": mask.public_key().public_bytes_raw().hex(),
            "share_public": share.public_key().public_bytes_raw().hex(),
            "self_commitment": sha(label + bytes.fromhex(secrets["self_secret"])),
        }

    def _key(self, secret: bytes, label: str) -> bytes:
        info = f"collegium/sa1/{label}".encode()
        return HKDF(SHA256(), 32, bytes.fromhex(self.ctx), info).derive(secret)

    def _x25519(self, private: bytes) -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(private)

    def _exchanged(self, private: X25519PrivateKey, public: str) -> bytes:
        return private.exchange(X25519PublicKey.from_public_bytes(bytes.fromhex(public)))

    def _pair(self, private: X25519PrivateKey, site: str, peer: str) -> bytes:
        secret = self._exchanged(private, self._public[peer]["mask_public"])
        return self._key(secret, "pair/" + "/".join(sorted((site, peer))))

    def _masked_vector(self, site: str) -> bytes:
        secrets, bits = self._secrets[site], self.context["ring_bits"]
        private = self._x25519(self._key(bytes.fromhex(secrets["pair_secret"]), "mask-x25519"))
        add = [self._key(bytes.fromhex(secrets["self_secret"]), "self")]
        add += [self._pair(private, site, peer) for peer in self.sites if peer > site]
        subtract = [self._pair(private, site, peer) for peer in self.sites if peer < site]
        vector = self._words(bytes.fromhex(self._frozen["sites"][site]["vector"]))
        words = masked(vector, add, subtract, bits)
        return b"".join(word.to_bytes(bits // 8, "little") for word in words)

    def _words(self, data: bytes) -> list[int]:
        size = self.context["ring_bits"] // 8
        return [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data), size)]

    def _opening(self, kind: str, owner: str, holder: str) -> bytes:
        """The value at the holder's place, and the salt."""
        value: int
        secrets, x = self._secrets[owner], self.sites.index(holder) + 1
        coefficients = [secrets[f"{kind}_secret"], *secrets[f"{kind}_coefficients"]]
        value = sum(int(c, 16) * x**power for power, c in enumerate(coefficients)) % P
        return value.to_bytes(66, "big") + bytes.fromhex(secrets[f"{kind}_salts"][holder])

    def _entry(self, owner: str, holder: str) -> bytes:
        commitments, plain = b"", b""
        for kind in ("self", "pair"):
            opening = self._opening(kind, owner, holder)
            lines = ("collegium/v1/share-commitment", self.ctx, owner, holder, kind, "")
            label = "\n".join(lines).encode()
            commitments += hashlib.sha256(label + opening[66:] + opening[:66]).digest()
            plain += opening
        if owner == holder:
            return commitments + bytes(212)
        private = self._x25519(bytes.fromhex(self._secrets[owner]["share_private"]))
        secret = self._exchanged(private, self._public[holder]["share_public"])
        sealing = AESGCM(self._key(secret, f"share/{owner}/{holder}"))
        return commitments + sealing.encrypt(
            bytes(12), plain, f"{self.ctx}/{owner}/{holder}".encode()
        )

    def _openings(self, kind: str, owners: list[str], holder: str) -> str:
        data = b"".join(self._opening(kind, owner, holder) for owner in owners)
        return base64.b64encode(data).decode()

    def _rebuilt(self, kind: str, owner: str) -> bytes:
        """Lagrange at 0, over the first t silos that revealed."""
        holders = self.survivors[: self.context["threshold"]]
        places = {holder: self.sites.index(holder) + 1 for holder in holders}
        secret = 0
        for holder, x in places.items():
            term = int.from_bytes(self._opening(kind, owner, holder)[:66], "big")
            for other in places.values():
                if other != x:
                    term = term * other * pow(other - x, -1, P) % P
            secret += term
        return (secret % P).to_bytes(32, "big")
