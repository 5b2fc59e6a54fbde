"""A policy file (tlog-policy): which logs count, and whose cosignatures a head must have.

::

    log collegium/audit/v1/3b6a...+5f0c...+AX...
    witness ethics witness.example.org/ethics+7e11...+BM... https://witness.example.org
    witness lib    library.example.edu/w1+90aa...+BM...
    group both all ethics lib
    quorum both

Rules:

1. The file is octets: names and addresses may hold any with the high bit set, and
   only tab and line feed are allowed below 0x20.
2. A group or the quorum names only what stands on lines above it; so there is no circle.
3. No two logs, and no two witnesses, have one public key, whatever they are called. A
   name is a member of one group at most: a witness counts in one way only.
4. There is exactly one quorum line. ``none`` asks for no cosignature.

Source: C2SP tlog-policy (draft of 2026).
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from protocol.errors import MessageRefused
from protocol.log.cosignature import Cosignature, VerifierKey, cosignatures, parse_verifier_key

#: The quorum that nobody has to meet.
NONE = "none"
#: A policy of hundreds of lines with ML-DSA-44 keys.
MAX_POLICY_BYTES = 1 << 20
_MAX_LINES = 1024


@dataclass(frozen=True, kw_only=True)
class PolicyLog:
    """A log that counts: its key, named by its origin, and where it is reached, if said."""

    key: VerifierKey
    url: str | None = None


@dataclass(frozen=True, kw_only=True)
class PolicyWitness:
    """A witness under its name in the file, with its key, and where it is reached, if said."""

    name: str
    key: VerifierKey
    url: str | None = None


@dataclass(frozen=True, kw_only=True)
class PolicyGroup:
    """A group that has cosigned where at least ``least`` of its members have."""

    name: str
    least: int
    members: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class WitnessPolicy:
    """The logs, the witnesses, and the rule when cosignatures suffice.

    Raises:
        ValueError: a rule above is broken.
    """

    logs: tuple[PolicyLog, ...] = ()
    witnesses: tuple[PolicyWitness, ...] = ()
    groups: tuple[PolicyGroup, ...] = ()
    quorum: str = NONE

    def __post_init__(self) -> None:
        _require_distinct((log.key.public for log in self.logs), "two logs have one public key")
        keys = (witness.key.public for witness in self.witnesses)
        _require_distinct(keys, "two witnesses have one public key")
        known = {witness.name for witness in self.witnesses}
        defined = [witness.name for witness in self.witnesses]
        used: set[str] = set()
        for group in self.groups:
            if not 1 <= group.least <= len(group.members):
                raise ValueError(f"group {group.name} needs 1 to {len(group.members)} members")
            for member in group.members:
                if member not in known:
                    raise ValueError(f"{member} is not defined before group {group.name}")
                if member in used:
                    raise ValueError(f"{member} is a member twice")
                used.add(member)
            known.add(group.name)
            defined.append(group.name)
        _require_distinct(defined, "two witnesses or groups have one name")
        if NONE in defined:
            raise ValueError("no witness or group is called none")
        if self.quorum != NONE and self.quorum not in known:
            raise ValueError(f"the quorum names {self.quorum}, which is not defined")

    @property
    def keys(self) -> tuple[VerifierKey, ...]:
        """The witnesses' keys, in the file's order."""
        return tuple(witness.key for witness in self.witnesses)

    def cosigned(self, note: bytes) -> list[Cosignature]:
        """Returns the cosignatures of this policy's witnesses on a note.

        Raises:
            MessageRefused: the form is not a note's, or a known witness's line does not verify.
        """
        return cosignatures(note, self.keys)

    def is_met(self, cosigners: Collection[VerifierKey]) -> bool:
        """Whether cosignatures of these keys suffice."""
        holds = {witness.name: witness.key in cosigners for witness in self.witnesses}
        for group in self.groups:
            holds[group.name] = sum(holds[member] for member in group.members) >= group.least
        return self.quorum == NONE or holds[self.quorum]

    def require_met(self, note: bytes) -> list[Cosignature]:
        """Returns the cosignatures on a note that meets the quorum.

        Raises:
            MessageRefused: it does not; the message names the witnesses that have not cosigned.
        """
        found = self.cosigned(note)
        if self.is_met([one.key for one in found]):
            return found
        signed = {one.key for one in found}
        missing = [witness.name for witness in self.witnesses if witness.key not in signed]
        raise MessageRefused(
            f"the head is not cosigned as the policy's quorum {self.quorum} asks: "
            f"{', '.join(missing)} have not cosigned it"
        )

    @property
    def to_bytes(self) -> bytes:
        """The file; the inverse is ``parse_policy``."""
        lines = [
            *(_joined("log", log.key.text, log.url) for log in self.logs),
            *(_joined("witness", one.name, one.key.text, one.url) for one in self.witnesses),
            *(_joined("group", one.name, str(one.least), *one.members) for one in self.groups),
            _joined("quorum", self.quorum),
        ]
        return _octets("".join(f"{line}\n" for line in lines))


def parse_policy(data: bytes) -> WitnessPolicy:
    """Returns the policy that a file holds.

    Raises:
        MessageRefused: a line is none of a policy's, or a rule is broken; the line is named.
    """
    if len(data) > MAX_POLICY_BYTES:
        raise MessageRefused(f"a policy of {len(data)} bytes is too long")
    if any(octet < 0x20 and octet not in (0x09, 0x0A) or octet == 0x7F for octet in data):
        raise MessageRefused("a policy holds a control character")
    if data and not data.endswith(b"\n"):
        raise MessageRefused("a policy's last line does not end with a line feed")
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    if len(lines) > _MAX_LINES:
        raise MessageRefused(f"a policy has at most {_MAX_LINES} lines")
    reading = _Reading()
    for number, line in enumerate(lines, start=1):
        words = [word for word in line.replace("\t", " ").split(" ") if word]
        if words and not words[0].startswith("#"):
            reading.take(number, words)
    return reading.policy


class _Reading:
    """A policy while its lines are read; what was defined above a line is known to it."""

    def __init__(self) -> None:
        self._logs: list[PolicyLog] = []
        self._witnesses: list[PolicyWitness] = []
        self._groups: list[PolicyGroup] = []
        self._quorum: str | None = None
        self._kinds: dict[str, Callable[[list[str]], None]] = {
            "log": self._log,
            "witness": self._witness,
            "group": self._group,
            "quorum": self._take_quorum,
        }

    def take(self, number: int, words: list[str]) -> None:
        """Reads one line that is neither empty nor a comment."""
        kind, given = words[0], words[1:]
        try:
            if kind not in self._kinds:
                raise ValueError(f"{kind} is no line of a policy")
            self._kinds[kind](given)
            self._made(self._quorum or NONE)
        except (ValueError, MessageRefused) as error:
            raise MessageRefused(f"line {number} of the policy: {error}") from error

    @property
    def policy(self) -> WitnessPolicy:
        """The whole."""
        if self._quorum is None:
            raise MessageRefused("a policy has one quorum line")
        return self._made(self._quorum)

    def _made(self, quorum: str) -> WitnessPolicy:
        return WitnessPolicy(
            logs=tuple(self._logs),
            witnesses=tuple(self._witnesses),
            groups=tuple(self._groups),
            quorum=quorum,
        )

    def _log(self, given: list[str]) -> None:
        key, url = _key_and_url(given)
        self._logs.append(PolicyLog(key=key, url=url))

    def _witness(self, given: list[str]) -> None:
        if not given:
            raise ValueError("a witness has a name and a key")
        key, url = _key_and_url(given[1:])
        if not key.is_cosigner:
            raise ValueError("the key of a witness is of type 4 or 6")
        if any(given[0] == group.name for group in self._groups):
            raise ValueError("two witnesses or groups have one name")
        self._witnesses.append(PolicyWitness(name=given[0], key=key, url=url))

    def _group(self, given: list[str]) -> None:
        if len(given) < 3:
            raise ValueError("a group has a name, a threshold and members")
        name, least, *members = given
        number = {"all": len(members), "any": 1}.get(least)
        if number is None:
            if not (least.isascii() and least.isdigit()) or str(int(least)) != least:
                raise ValueError("a group's threshold is all, any or a number")
            number = int(least)
        self._groups.append(PolicyGroup(name=name, least=number, members=tuple(members)))

    def _take_quorum(self, given: list[str]) -> None:
        if len(given) != 1 or self._quorum is not None:
            raise ValueError("a policy has one quorum line, with one name")
        self._quorum = given[0]


def _key_and_url(given: list[str]) -> tuple[VerifierKey, str | None]:
    if not 1 <= len(given) <= 2:
        raise ValueError("a key is followed by one address at most")
    return parse_verifier_key(given[0]), given[1] if len(given) == 2 else None


def _joined(*words: str | None) -> str:
    return " ".join(word for word in words if word is not None)


def _octets(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _require_distinct(values: Iterable[object], why: str) -> None:
    listed = list(values)
    if len(set(listed)) != len(listed):
        raise ValueError(why)
