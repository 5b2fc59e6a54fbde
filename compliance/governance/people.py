"""People, their roles, and the access policy: which role may do what, alone or with a second.

Rules:

1. A person acts under one Ed25519 key at a time, which never becomes another person's. Names are
   compared without case, accents' form and repeated blanks, so that nobody is two people by
   spelling.
2. The table of rights is the policy of version 1. The people change it together, and never below
   what stands here: an act that needs two people needs two for ever, and nobody grants an act that
   this software does not know.
3. Stopping never waits for a second person: a pause, a stop and an incident's containment are one
   person's act. A second one confirms a containment afterwards.
4. While nobody else's key is good who could confirm, one person adds people alone, and that stands
   in the log: at the founding, and when all other keys have expired. Somebody who was suspended
   still counts, so that nobody becomes alone by suspending the others.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from protocol.encoding import Json, digest_json
from protocol.errors import PolicyRefused

_MAX_NAME = 100
_NOTIFY_HOURS = 72


class Role(StrEnum):
    """A role that a person may have; a person may have several."""

    LEAD = "lead"
    DATA_SCIENTIST = "data-scientist"
    COMPLIANCE_OFFICER = "compliance-officer"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"


_EVERYBODY = frozenset(Role)
_RUNNERS = frozenset({Role.LEAD, Role.DATA_SCIENTIST})
_WORKERS = _EVERYBODY - {Role.AUDITOR}
_OFFICER = frozenset({Role.COMPLIANCE_OFFICER})
_ADMIN = frozenset({Role.ADMINISTRATOR})
_MEMBERSHIP = frozenset({Role.LEAD, Role.ADMINISTRATOR})
#: The roles whose holders confirm each other's changes.
TRUSTED = frozenset({Role.LEAD, Role.COMPLIANCE_OFFICER, Role.ADMINISTRATOR})


@dataclass(frozen=True, kw_only=True)
class Right:
    """The roles that may do an act; ``second`` are those that confirm it, None where one suffices.

    ``what`` says the act in words.
    """

    what: str
    roles: frozenset[Role]
    second: frozenset[Role] | None = None

    def to_json(self) -> Json:
        """Returns the roles as JSON, sorted."""
        second = None if self.second is None else sorted(self.second)
        return {"roles": sorted(self.roles), "second": second}


#: Every act that this software knows, with the rights of the first policy.
RIGHTS: Mapping[str, Right] = {
    "study.register": Right(what="register a study", roles=_RUNNERS),
    "run.start": Right(what="begin a run", roles=_RUNNERS),
    "run.pause": Right(what="pause a run", roles=_WORKERS),
    "run.resume": Right(what="go on with a paused run", roles=_RUNNERS),
    "run.stop": Right(what="stop a run", roles=_WORKERS),
    "run.note": Right(what="write a note about a run, or give it tags", roles=_WORKERS),
    "run.deviate": Right(what="declare a deviation from a run's preregistration", roles=_EVERYBODY),
    "alert.acknowledge": Right(what="take note of an alert", roles=_WORKERS),
    "report.export": Right(what="export a report or evidence", roles=_EVERYBODY),
    "report.sign": Right(what="sign a report", roles=TRUSTED | {Role.AUDITOR}),
    "login": Right(what="look at the dashboard", roles=_EVERYBODY),
    "logout": Right(what="end a session of the dashboard", roles=_EVERYBODY),
    "account.set": Right(what="set one's own account of the dashboard", roles=_EVERYBODY),
    "account.remove": Right(
        what="remove one's own account; an administrator, anybody's", roles=_EVERYBODY
    ),
    "account.unlock": Right(what="let a locked account try again", roles=_ADMIN),
    "account.link": Right(
        what="let a person log in to look, at a provider of OpenID Connect",
        roles=TRUSTED,
        second=TRUSTED,
    ),
    "account.unlink": Right(
        what="end such a login: one's own; who confirms changes, anybody's", roles=_EVERYBODY
    ),
    "hospital.invite": Right(what="invite a hospital", roles=_MEMBERSHIP, second=TRUSTED),
    "hospital.revoke": Right(what="revoke a hospital", roles=TRUSTED, second=TRUSTED),
    "roster.propose": Right(what="propose a roster, which the hospitals sign", roles=_MEMBERSHIP),
    "server.certificates": Right(what="renew or rename the server's certificates", roles=_ADMIN),
    "person.add": Right(what="add a person, or give one a new key", roles=TRUSTED, second=TRUSTED),
    "person.roles": Right(what="change a person's roles", roles=TRUSTED, second=TRUSTED),
    "person.retire": Right(what="end a person's rights", roles=TRUSTED, second=TRUSTED),
    "policy.change": Right(
        what="change the access policy", roles=_ADMIN | _OFFICER, second=TRUSTED
    ),
    "budget.change": Right(
        what="change what a study may cost here", roles=_OFFICER, second=TRUSTED
    ),
    "model.register": Right(what="register a model's snapshot as a candidate", roles=_RUNNERS),
    "model.canary": Right(what="let some hospitals try a candidate", roles=_RUNNERS),
    "model.end-canary": Right(what="end such a trial", roles=_WORKERS),
    "model.promote": Right(what="promote a model", roles=_RUNNERS, second=_OFFICER),
    "model.roll-back": Right(
        what="go back to the model that was in production before", roles=_RUNNERS | _OFFICER
    ),
    "model.retire": Right(what="take a model out of use", roles=_RUNNERS | _OFFICER),
    "model.name": Right(what="give a model's version a name", roles=_RUNNERS),
    "model.confirm-served": Right(
        what="take a hospital's statement of what it served into the log", roles=_RUNNERS | _OFFICER
    ),
    "model.export": Right(
        what="export a model, signed with the release key", roles=_RUNNERS | _OFFICER
    ),
    "weights.seal": Right(what="encrypt a model for recipients", roles=_RUNNERS),
    "weights.open": Right(what="open an encrypted model", roles=_RUNNERS | _OFFICER),
    "weights.rewrap": Right(
        what="change the recipients of an encrypted model", roles=_RUNNERS | _OFFICER
    ),
    "weights.retire": Right(
        what="retire an encrypted model for ever", roles=_RUNNERS | _OFFICER, second=TRUSTED
    ),
    "hold.place": Right(what="place a legal hold", roles=TRUSTED | {Role.AUDITOR}),
    "hold.lift": Right(what="lift a legal hold", roles=_OFFICER, second=TRUSTED),
    "incident.open": Right(what="open an incident", roles=_EVERYBODY),
    "incident.contain": Right(what="contain an incident at once", roles=TRUSTED),
    "incident.confirm": Right(what="confirm a containment of another", roles=TRUSTED),
    "incident.notify": Right(
        what="record a notification, or why none is due", roles=_OFFICER | {Role.LEAD}
    ),
    "incident.close": Right(what="close an incident", roles=_OFFICER | {Role.LEAD}),
    "access.review": Right(what="review who may do what", roles=_OFFICER | {Role.AUDITOR}),
    "change.confirm": Right(what="confirm a change of another", roles=TRUSTED),
    "change.withdraw": Right(what="withdraw a change that waits", roles=_WORKERS),
}


def same_name(name: str) -> str:
    """Returns the form in which names are compared.

    >>> same_name("Dr.  Ada LOVELACE ") == same_name("dr. ada lovelace")
    True
    """
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def plain_name(name: str) -> str:
    """Returns a person's name without blanks around it.

    Raises:
        PolicyRefused: it is empty, too long, or holds what nobody can read.
    """
    plain = " ".join(name.split())
    if not plain or len(plain) > _MAX_NAME or not plain.isprintable():
        raise PolicyRefused(f"a person's name has at most {_MAX_NAME} letters that can be read")
    return plain


def read_roles(names: Iterable[str]) -> frozenset[Role]:
    """Returns roles by their names.

    Raises:
        PolicyRefused: one is none, or none is named.
    """
    try:
        found = frozenset(Role(name.strip()) for name in names)
    except ValueError as error:
        raise PolicyRefused(f"{error}: the roles are {', '.join(Role)}") from error
    if not found:
        raise PolicyRefused(f"name a role: {', '.join(Role)}")
    return found


@dataclass(frozen=True, kw_only=True)
class Person:
    """A person at one time: name, key (64 hexadecimal digits), roles, and when the key expires.

    From ``since`` to ``until`` the record holds; ``until`` is None while it does. ``suspended``
    says since when an incident's containment keeps the person from acting. What has ended has
    ended, whatever a clock says that was set back since.
    """

    name: str
    public_key: str
    roles: frozenset[Role]
    expires: str
    since: str
    until: str | None = None
    suspended: str | None = None

    def to_json(self) -> dict[str, Json]:
        """Returns the record as commands and the service show it."""
        return vars(self) | {"roles": sorted(self.roles)}

    def require_usable(self, time: str) -> None:
        """Checks that the person may act at a time.

        Raises:
            PolicyRefused: the record has ended, the key has expired, or the person is suspended.
        """
        if self.until is not None:
            raise PolicyRefused(f"{self.name} acts under this key no longer, since {self.until}")
        if self.expires <= time:
            raise PolicyRefused(
                f"the key of {self.name} expired at {self.expires}: make a new one (collegium "
                "people key), and let two people add it (collegium people propose)"
            )
        if self.suspended is not None:
            raise PolicyRefused(
                f"{self.name} was suspended at {self.suspended} by an incident's containment"
            )


def act_words(action: str) -> str:
    """Returns what an act does, as people read it; an act without a right by its name.

    >>> act_words("run.stop"), act_words("run.unknown")
    ('stop a run', 'run.unknown')
    """
    right = RIGHTS.get(action)
    return action if right is None else right.what


_BY_TWO = frozenset(name for name, right in RIGHTS.items() if right.second is not None)
#: What a policy may ask a second person for beside what always takes two.
MAY_BE_TWO = frozenset({"run.start", "run.resume", "roster.propose", "hold.place"})
#: What one person may do where nobody else could confirm it.
ALONE = frozenset({"person.add", "person.roles"})


def others_who_confirm(people: Iterable[Person], name: str, time: str) -> tuple[Person, ...]:
    """Returns those of other names who could confirm at a time, if they are not suspended.

    Args:
        people: records, of which those that hold count.
        name: whose name is left out; empty for nobody's.
        time: when.
    """
    return tuple(
        person
        for person in people
        if person.until is None
        and person.expires > time
        and person.roles & TRUSTED
        and same_name(person.name) != same_name(name)
    )


@dataclass(frozen=True, kw_only=True)
class AccessPolicy:
    """The rights in force, and the hours and days of governance.

    Attributes:
        version: counts the policies of this consortium from 1.
        rights: of every act.
        change_hours: how long a proposed change waits for the second person.
        confirm_hours: until when a containment is to be confirmed.
        notify_hours: from when an incident became known to its notification, 72 at most.
        review_days: until when the access is to be reviewed again.
        kept: the digest of what is kept of it, where an older version of this software wrote it;
            acts that it did not know have the rights of the first policy here.
    """

    version: int = 1
    rights: Mapping[str, Right] = field(default_factory=lambda: RIGHTS)
    change_hours: int = 72
    confirm_hours: int = 24
    notify_hours: int = _NOTIFY_HOURS
    review_days: int = 90
    kept: str | None = None

    def right(self, action: str) -> Right:
        """Returns who may do an act.

        Raises:
            PolicyRefused: this software knows no such act.
        """
        if action not in self.rights:
            raise PolicyRefused(f"there is no act {action!r}: collegium people policy lists them")
        return self.rights[action]

    def role_for(self, person: Person, action: str) -> Role:
        """Returns the role in which a person may do an act.

        Raises:
            PolicyRefused: in none.
        """
        right = self.right(action)
        found = sorted(person.roles & right.roles)
        if not found:
            raise PolicyRefused(
                f"{person.name} ({', '.join(sorted(person.roles))}) may not {right.what}: that "
                f"takes {' or '.join(sorted(right.roles))}"
            )
        return found[0]

    def to_json(self) -> dict[str, Json]:
        """Returns the policy as it is shown, changed and hashed."""
        return {
            "version": self.version,
            "change_hours": self.change_hours,
            "confirm_hours": self.confirm_hours,
            "notify_hours": self.notify_hours,
            "review_days": self.review_days,
            "rights": {name: right.to_json() for name, right in sorted(self.rights.items())},
        }

    @property
    def digest(self) -> str:
        """The SHA-256 of the policy's canonical bytes; every act names it."""
        return self.kept or digest_json(self.to_json())


#: The policy of a consortium that has not changed it.
FIRST_POLICY = AccessPolicy()
_HOURS = {"change_hours": 720, "confirm_hours": 168, "notify_hours": _NOTIFY_HOURS}
_MAX_REVIEW_DAYS = 366


def read_access_policy(said: Mapping[str, Any]) -> AccessPolicy:
    """Returns a policy from its JSON form; the inverse of ``AccessPolicy.to_json``.

    Raises:
        PolicyRefused: it has another form, or grants less protection than the first policy.
    """
    policy = _read(said)
    for name, right in policy.rights.items():
        _require_floor(name, right)
    return policy


def _read(said: Mapping[str, Any]) -> AccessPolicy:
    try:
        rights = {name: _read_right(name, said["rights"][name]) for name in RIGHTS}
        unknown = sorted({*said["rights"]} - {*RIGHTS}) + sorted(
            {*said} - {*FIRST_POLICY.to_json()}
        )
        numbers = {name: said[name] for name in (*_HOURS, "review_days", "version")}
    except (KeyError, TypeError, AttributeError) as error:
        raise PolicyRefused(f"a policy looks like collegium people policy --json: {error}") from (
            error
        )
    if unknown:
        raise PolicyRefused(f"a policy has no {', '.join(unknown)}")
    most = {**_HOURS, "review_days": _MAX_REVIEW_DAYS, "version": 2**31}
    for name, number in numbers.items():
        if type(number) is not int or not 1 <= number <= most[name]:
            raise PolicyRefused(f"{name} is a whole number from 1 to {most[name]}")
    return AccessPolicy(rights=rights, **numbers)


def read_kept_policy(said: Mapping[str, Any]) -> AccessPolicy:
    """Returns a policy that was in force once, whichever acts the software knew that wrote it.

    Raises:
        PolicyRefused: it has another form.
    """
    try:
        known = {name: said["rights"].get(name, right.to_json()) for name, right in RIGHTS.items()}
        policy = _read({**said, "rights": known})
    except (KeyError, TypeError, AttributeError) as error:
        raise PolicyRefused(f"a policy has another form: {error}") from error
    return replace(policy, kept=digest_json(said))


def _read_right(name: str, said: Mapping[str, Any]) -> Right:
    second = None if said["second"] is None else read_roles(said["second"])
    return Right(what=RIGHTS[name].what, roles=read_roles(said["roles"]), second=second)


def _require_floor(name: str, right: Right) -> None:
    """Checks that a right protects no less than the first policy's, and keeps nobody from stopping.

    Raises:
        PolicyRefused: it does not.
    """
    if name in _BY_TWO and right.second is None:
        raise PolicyRefused(f"{name} needs a second person: no policy may change that")
    if right.second is not None and name not in MAY_BE_TWO | _BY_TWO:
        raise PolicyRefused(f"{name} is one person's act: no policy may change that")
