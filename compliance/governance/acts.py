"""Signed acts: who does what to what, when, under which policy; checked before anything is done.

Rules:

1. An act names the consortium, the person, the person's key, the policy and 16 random bytes; the
   person's key signs all of it. It is worth nothing for another consortium, another act, or twice.
2. The random bytes are also its salt: the log holds the act's digest, from which nobody can guess
   what was done to what.
3. An act is taken within five minutes of its time. An hour's difference is a clock that is set
   wrongly, and is called so.
4. Details are names, numbers and reasons, never a patient's data.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from compliance.governance.people import AccessPolicy, Person, Role
from protocol.encoding import Json, canonical, digest, parse_canonical
from protocol.errors import MessageRefused, PolicyRefused
from protocol.identity.roster import SigningKey, verify
from protocol.identity.timestamps import read_time, write_time

#: What an act's details hold: flat, so that a report shows each as it is.
Details: TypeAlias = Mapping[str, str | int | bool | tuple[str, ...]]

#: How far an act's time may lie from the service's clock.
MAX_SKEW = timedelta(minutes=5)
SALT_BYTES = 16
#: The domain of a person's signature; see ``protocol.identity.roster``.
ACT_DOMAIN = "person-act"
_MAX_BYTES = 16 * 1024
_MAX_TEXT = 8000
_MAX_SUBJECT = 300
_HEX = {"consortium": 64, "public_key": 64, "policy": 64, "salt": 2 * SALT_BYTES}
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z")
_WORD = re.compile(r"[a-z][a-z.-]{0,31}")


@dataclass(frozen=True, kw_only=True)
class ActRequest:
    """A wish: an act, and what it is about (of a kind: run, study, hospital, person, report...)."""

    action: str
    subject_kind: str
    subject: str
    details: Details = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _WORD.fullmatch(self.action) or not _WORD.fullmatch(self.subject_kind):
            raise PolicyRefused("an act and the kind of its subject are words of small letters")
        if len(self.subject) > _MAX_SUBJECT or not self.subject.isprintable():
            raise PolicyRefused("what an act is about is a name that can be read")
        for name, value in self.details.items():
            if not _is_detail(value):
                raise PolicyRefused(f"{name} is plain text of at most {_MAX_TEXT} letters")

    def to_json(self) -> dict[str, Any]:
        """Returns the wish as it travels; the inverse of ``read_request``."""
        return {
            "action": self.action,
            "subject_kind": self.subject_kind,
            "subject": self.subject,
            "details": {name: _plain(value) for name, value in sorted(self.details.items())},
        }

    @property
    def digest(self) -> str:
        """The digest of what is wished: two people mean the same where it is the same."""
        return digest(canonical(self.to_json()))


def read_request(said: Any) -> ActRequest:
    """Returns a wish from its JSON form.

    Raises:
        MessageRefused: it has another form.
    """
    try:
        details = {
            str(name): tuple(value) if isinstance(value, list) else value
            for name, value in said["details"].items()
        }
        return ActRequest(
            action=said["action"],
            subject_kind=said["subject_kind"],
            subject=said["subject"],
            details=details,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise MessageRefused(f"an act has another form: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Act:
    """A wish that a person stands for: under which key, when, under which policy.

    ``consortium`` is the coordinator's public key, ``policy`` the digest of the access policy that
    the person knew; both, like ``public_key``, 64 hexadecimal digits, ``salt`` 32.
    """

    consortium: str
    person: str
    public_key: str
    time: str
    policy: str
    salt: str
    request: ActRequest

    def __post_init__(self) -> None:
        for name, length in _HEX.items():
            if not re.fullmatch(rf"[0-9a-f]{{{length}}}", getattr(self, name)):
                raise MessageRefused(f"an act's {name} is {length} hexadecimal digits")
        if not _TIME.fullmatch(self.time):
            raise MessageRefused("an act's time is none")
        if not isinstance(self.person, str) or not self.person.isprintable():
            raise MessageRefused("an act names no person")

    @property
    def canonical_bytes(self) -> bytes:
        """The bytes that the person signs."""
        said: dict[str, Json] = {
            "v": 1,
            "consortium": self.consortium,
            "person": self.person,
            "public_key": self.public_key,
            "time": self.time,
            "policy": self.policy,
            "salt": self.salt,
            **self.request.to_json(),
        }
        return canonical(said)

    @property
    def digest(self) -> str:
        """The digest that the log holds; salted by the act's random bytes."""
        return digest(self.canonical_bytes)


@dataclass(frozen=True, kw_only=True)
class SignedAct:
    """An act with the person's signature (64 bytes)."""

    act: Act
    signature: bytes

    def to_json(self) -> dict[str, str]:
        """Returns the act as it travels; the inverse of ``read_signed_act``."""
        return {"act": self.act.canonical_bytes.decode(), "signature": self.signature.hex()}

    def require_signed(self) -> None:
        """Checks the signature against the key that the act names.

        Raises:
            MessageRefused: it was not made with it.
        """
        public = bytes.fromhex(self.act.public_key)
        verify(public, ACT_DOMAIN, self.act.canonical_bytes, self.signature)


def sign_act(key: SigningKey, act: Act) -> SignedAct:
    """Returns an act under a person's signature."""
    return SignedAct(act=act, signature=key.sign(ACT_DOMAIN, act.canonical_bytes))


def read_act(data: bytes) -> Act:
    """Returns the act that canonical bytes hold; the inverse of ``Act.canonical_bytes``.

    Raises:
        MessageRefused: they have another form.
    """
    if len(data) > _MAX_BYTES:
        raise MessageRefused(f"an act has at most {_MAX_BYTES} bytes")
    said: Any = parse_canonical(data)
    try:
        fields = {name: said[name] for name in ("person", "time", *_HEX)}
        act = Act(request=read_request(said), **fields)
    except (KeyError, TypeError) as error:
        raise MessageRefused(f"an act has another form: {error}") from error
    except PolicyRefused as error:
        raise MessageRefused(str(error)) from error
    if act.canonical_bytes != data:
        raise MessageRefused("an act holds more than an act does")
    return act


def read_signed_act(said: Any) -> SignedAct:
    """Returns a signed act from its JSON form.

    Raises:
        MessageRefused: it has another form.
    """
    try:
        signature = bytes.fromhex(said["signature"])
        return SignedAct(act=read_act(said["act"].encode()), signature=signature)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MessageRefused(f"a signed act has another form: {error}") from error


def require_time(time: str, now: datetime) -> None:
    """Checks that an act is of now.

    Raises:
        MessageRefused: its time is further away than ``MAX_SKEW``; says whether it is a clock.
    """
    away = read_time(time) - now
    if abs(away) <= MAX_SKEW:
        return
    minutes = round(abs(away).total_seconds() / 60)
    which = "ahead of" if away > timedelta(0) else "behind"
    told = f"the act's time is {minutes} minutes {which} the service's ({write_time(now)})"
    hours = round(minutes / 60)
    if hours and abs(minutes - 60 * hours) <= MAX_SKEW.total_seconds() / 60 and hours <= 14:
        raise MessageRefused(
            f"{told}: a clock is {hours} h off; set the clock or the time zone of the machine that "
            "signs"
        )
    raise MessageRefused(f"{told}; {MAX_SKEW.seconds // 60} are allowed: sign it again, now")


def require_right(
    signed: SignedAct,
    person: Person | None,
    policy: AccessPolicy,
    *,
    consortium: str,
    now: datetime,
    seen: bool,
) -> Role:
    """Returns the role in which a person may do a signed act.

    Args:
        signed: the act.
        person: who is registered under its key now; None where nobody is.
        policy: the access policy in force.
        consortium: the coordinator's public key in hexadecimal.
        now: the service's time.
        seen: whether the act's salt came before.

    Raises:
        MessageRefused: the signature, the consortium, the time or the salt is wrong.
        PolicyRefused: the person is unknown, may act no longer, or has no right to this.
    """
    act = signed.act
    if person is None or person.name != act.person:
        raise PolicyRefused(
            f"{act.person!r} is not registered under this key: collegium people list"
        )
    try:
        signed.require_signed()
    except MessageRefused as error:
        raise MessageRefused(f"the act is not signed by {person.name}: {error}") from error
    if act.consortium != consortium:
        raise MessageRefused("the act is of another consortium")
    require_time(act.time, now)
    if seen:
        raise MessageRefused("this act was done before: it is good once")
    if act.policy != policy.digest:
        raise PolicyRefused(
            f"the act was signed under another access policy than version {policy.version}: look "
            "at it (collegium people policy) and sign again"
        )
    person.require_usable(write_time(now))
    return policy.role_for(person, act.request.action)


def _plain(value: Any) -> Json:
    return list(value) if isinstance(value, tuple) else value


def _is_detail(value: Any) -> bool:
    if isinstance(value, tuple):
        return len(value) <= 64 and all(isinstance(one, str) and _is_detail(one) for one in value)
    if isinstance(value, str):
        return len(value) <= _MAX_TEXT and all(c.isprintable() or c == "\n" for c in value)
    return isinstance(value, int) and abs(value) < 2**53
