"""A person's key and one-time secret, sealed under a password: the right password opens the box.

Rules:

1. The key of the box is derived by Argon2id; its cost stands beside the box, so that it can be
   raised, and a box be sealed anew at the next login.
2. Name and public key of the person are associated data: a box that was moved to another account
   does not open. What was opened is compared with the public key.
3. A cost that would exhaust the machine is refused before anything is derived.

Sources: RFC 9106 (Argon2), section 4, second recommended option: 64 MiB, 3 passes, 4 lanes;
RFC 8439 (ChaCha20-Poly1305).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from compliance.governance.access.passwords import normalised
from protocol.encoding import Json, canonical, digest, parse_canonical
from protocol.errors import MessageRefused, PolicyRefused, StoreBroken
from protocol.identity.roster import SigningKey

_KEY_BYTES, _SALT_BYTES, _NONCE_BYTES = 32, 16, 12
_MAX_MEMORY_KIB, _MAX_PASSES, _MAX_LANES = 2 * 1024 * 1024, 16, 16
_MAX_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class SealingCost:
    """The cost of deriving a box's key: memory in KiB, passes over it, lanes side by side."""

    memory_kib: int = 64 * 1024
    passes: int = 3
    lanes: int = 4

    def __post_init__(self) -> None:
        most = {"memory_kib": _MAX_MEMORY_KIB, "passes": _MAX_PASSES, "lanes": _MAX_LANES}
        for name, number in vars(self).items():
            if type(number) is not int or not 1 <= number <= most[name]:
                raise MessageRefused(f"{name} of a sealed key is from 1 to {most[name]}")
        if self.memory_kib < 8 * self.lanes:
            raise MessageRefused("a sealed key's lanes need 8 KiB each at least")


#: The cost of new boxes.
COST = SealingCost()

#: Derives 32 bytes from a password's bytes, a salt and a cost.
Derive: TypeAlias = Callable[[bytes, bytes, SealingCost], bytes]


def derive(password: bytes, salt: bytes, cost: SealingCost) -> bytes:
    """Returns the key of a box (32 bytes) by Argon2id."""
    return Argon2id(
        salt=salt,
        length=_KEY_BYTES,
        iterations=cost.passes,
        lanes=cost.lanes,
        memory_cost=cost.memory_kib,
    ).derive(password)


@dataclass(frozen=True, kw_only=True)
class AccountSecrets:
    """The contents of a box: the seed of the person's Ed25519 key (32 bytes), the TOTP secret."""

    seed: bytes
    one_time_secret: bytes

    def __repr__(self) -> str:
        return "AccountSecrets(...)"


@dataclass(frozen=True, kw_only=True)
class SealedKey:
    """A box: whose it is, how its key is derived, and what is sealed in it."""

    person: str
    public_key: str
    cost: SealingCost
    salt: bytes
    nonce: bytes
    sealed: bytes

    @property
    def bound(self) -> bytes:
        """The associated data: what is not secret, and must not change."""
        return canonical({"domain": "collegium/account/v1", **self._public()})

    def to_bytes(self) -> bytes:
        """Returns the box as it is kept; the inverse of ``read_sealed_key``."""
        return canonical(
            {"v": 1, **self._public(), "nonce": self.nonce.hex(), "sealed": self.sealed.hex()}
        )

    @property
    def digest(self) -> str:
        """The digest that an act and the account's record name."""
        return digest(self.to_bytes())

    def _public(self) -> dict[str, Json]:
        return {
            "person": self.person,
            "public_key": self.public_key,
            "kdf": "argon2id",
            "memory_kib": self.cost.memory_kib,
            "passes": self.cost.passes,
            "lanes": self.cost.lanes,
            "salt": self.salt.hex(),
        }


def seal(
    secrets: AccountSecrets,
    person: str,
    password: str,
    draw: Callable[[int], bytes],
    cost: SealingCost = COST,
    derived: Derive = derive,
) -> SealedKey:
    """Returns a person's secrets, sealed under a password.

    Args:
        secrets: what is sealed.
        person: whose it is.
        password: under which.
        draw: draws random bytes, as ``secrets.token_bytes`` does.
        cost: of deriving.
        derived: derives the key of the box.
    """
    public = SigningKey.from_bytes(secrets.seed).public.hex()
    salt, nonce = draw(_SALT_BYTES), draw(_NONCE_BYTES)
    box = SealedKey(person=person, public_key=public, cost=cost, salt=salt, nonce=nonce, sealed=b"")
    plain = canonical({"seed": secrets.seed.hex(), "totp": secrets.one_time_secret.hex()})
    key = derived(normalised(password), salt, cost)
    sealed = ChaCha20Poly1305(key).encrypt(nonce, plain, box.bound)
    return SealedKey(
        person=person, public_key=public, cost=cost, salt=salt, nonce=nonce, sealed=sealed
    )


def open_sealed(
    box: SealedKey, person: str, public_key: str, password: str, derived: Derive = derive
) -> AccountSecrets:
    """Returns what a box holds.

    Args:
        box: the box.
        person: who logs in; the box must be this person's.
        public_key: under which the person is registered.
        password: what was typed.
        derived: derives the key of the box.

    Raises:
        PolicyRefused: the password is wrong, or the box is another person's.
    """
    key = derived(normalised(password), box.salt, box.cost)
    try:
        plain: Any = parse_canonical(
            ChaCha20Poly1305(key).decrypt(box.nonce, box.sealed, box.bound)
        )
        secrets = AccountSecrets(
            seed=bytes.fromhex(plain["seed"]), one_time_secret=bytes.fromhex(plain["totp"])
        )
        public = SigningKey.from_bytes(secrets.seed).public.hex()
    except (InvalidTag, MessageRefused, KeyError, TypeError, ValueError) as error:
        raise PolicyRefused("the password does not open the account") from error
    if (box.person, box.public_key, public) != (person, public_key, public_key):
        raise PolicyRefused("the sealed key is another person's")
    return secrets


def decoy(draw: Callable[[int], bytes], cost: SealingCost = COST) -> SealedKey:
    """Returns a box that no password opens, for a name that has none: it costs the same."""
    return SealedKey(
        person="", public_key="", cost=cost, salt=draw(_SALT_BYTES), nonce=draw(_NONCE_BYTES),
        sealed=draw(192),
    )  # fmt: skip


def read_sealed_key(data: bytes) -> SealedKey:
    """Returns the box that bytes hold.

    Raises:
        StoreBroken: they hold none.
    """
    try:
        if len(data) > _MAX_BYTES:
            raise MessageRefused("a sealed key is smaller")
        said: Any = parse_canonical(data)
        box = SealedKey(
            person=str(said["person"]),
            public_key=str(said["public_key"]),
            cost=SealingCost(
                memory_kib=said["memory_kib"], passes=said["passes"], lanes=said["lanes"]
            ),
            salt=bytes.fromhex(said["salt"]),
            nonce=bytes.fromhex(said["nonce"]),
            sealed=bytes.fromhex(said["sealed"]),
        )
        if box.to_bytes() != data or len(box.nonce) != _NONCE_BYTES or len(box.salt) < 8:
            raise MessageRefused("it holds more or less than a sealed key")
    except (MessageRefused, KeyError, TypeError, ValueError) as error:
        raise StoreBroken(
            "a sealed key is damaged: its owner sets the account anew (collegium people account "
            "set)"
        ) from error
    return box
