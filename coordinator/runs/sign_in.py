"""A login: a password opens the person's sealed key, a code is compared, the act is signed.

Rules:

1. Exactly one key is derived for every attempt, whether the name is known, waits or is made up.
2. An attempt is counted before; whoever is refused gets one sentence, whatever was wrong.
3. A code counts once, at the service. The login is an act that the person's key signs.
"""

import secrets
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compliance.governance.access.linked_identity import LinkedIdentity
from compliance.governance.access.one_time_codes import SECRET_BYTES, step_of
from compliance.governance.access.passwords import require_password
from compliance.governance.access.sealed_key import (
    COST,
    AccountSecrets,
    Derive,
    SealedKey,
    SealingCost,
    decoy,
    derive,
    open_sealed,
    read_sealed_key,
    seal,
)
from compliance.governance.acts import ActRequest
from compliance.storage.clock import Clock, utc_now
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.governance.accounts import (
    Account,
    AccountFolder,
    IdentityLink,
    accounts_in,
    answer_login,
    links_in,
    read_attempt,
)
from coordinator.membership.directory import is_coordinator
from coordinator.runs.admin_socket.asking import ask, is_served
from coordinator.runs.person_acts import governance_of, has_people, operations_over, perform
from protocol.errors import PolicyRefused
from protocol.identity.roster import SigningKey

#: The one sentence for whoever is refused.
REFUSED = (
    "The name, the password or the code is wrong, the code was used already, or the account waits "
    "after too many attempts."
)
#: The name under which an authenticator application lists the account.
ISSUER = "Collegium"


@dataclass(frozen=True, kw_only=True)
class SignedInPerson:
    """A person who has logged in: name, public key, what the box held, and the box's digest."""

    person: str
    public_key: str
    secrets: AccountSecrets
    box: str = ""


class SignIn:
    """Logins over one coordinator's folder.

    Args:
        home: the folder.
        clock: says what time it is.
        cost: of deriving, for new boxes and for names without one; a box of less is sealed anew.
        derived: derives the key of a box.
    """

    def __init__(
        self,
        home: Path,
        clock: Clock = utc_now,
        cost: SealingCost = COST,
        derived: Derive = derive,
    ) -> None:
        self._home, self._clock, self._cost, self._derived = home, clock, cost, derived

    def log_in(self, name: str, password: str, code: str, session: str) -> SignedInPerson:
        """Returns who has logged in; the login is in the log.

        Args:
            name: as it was typed.
            password: as it was typed.
            code: the one-time code.
            session: names the session in the log; no secret.

        Raises:
            PolicyRefused: something was wrong: ``REFUSED``.
            FederationError: nothing can be looked up or written down now.
        """
        tried = read_attempt(self._ask(ask="attempt", name=name))
        box = decoy(secrets.token_bytes, self._cost)
        if tried.box is not None:
            box = read_sealed_key(tried.box)
        try:
            opened = open_sealed(box, tried.person, tried.public_key, password, self._derived)
        except PolicyRefused as error:
            raise self._refused(name) from error
        step = step_of(opened.one_time_secret, code, self._clock())
        if tried.box is None or step is None:
            raise self._refused(name)
        request = ActRequest(
            action="login", subject_kind="dashboard", subject=session, details={"step": step}
        )
        key = SigningKey.from_bytes(opened.seed)
        try:
            perform(self._home, request, key, clock=self._clock)
        except PolicyRefused as error:
            raise PolicyRefused(REFUSED) from error  # the act itself stands in the log, refused
        box = self._raise_cost(box, opened, password)
        return SignedInPerson(
            person=tried.person, public_key=tried.public_key, secrets=opened, box=box.digest
        )

    def confirm_code(self, person: SignedInPerson, code: str) -> None:
        """Takes a fresh one-time code of somebody who has logged in; wrong ones count as failures.

        Raises:
            PolicyRefused: it is wrong, was used, or the account waits.
        """
        if read_attempt(self._ask(ask="code", name=person.person)).box is None:
            raise PolicyRefused("the account waits after too many wrong codes")
        step = step_of(person.secrets.one_time_secret, code, self._clock())
        if step is None:
            self._ask(ask="refuse", name=person.person)
            raise PolicyRefused("the code is wrong: type the one that is shown now")
        self._ask(ask="step", key=person.public_key, step=step)

    def identify(self, identity: LinkedIdentity, session: str) -> IdentityLink:
        """Returns whose an identity at a provider is; the login is logged, and signs nothing.

        Args:
            identity: as the provider has signed it.
            session: names the session in the log; no secret.

        Raises:
            PolicyRefused: nobody is linked to it, or the person may not look.
            FederationError: nothing can be looked up or written down now.
        """
        told = self._ask(
            ask="identify", issuer=identity.issuer, subject=identity.subject, session=session
        )
        return IdentityLink(**told)

    def refuse(self) -> None:
        """Has a refused login counted and logged, of a name that nobody knows.

        Raises:
            FederationError: nothing can be written down now.
        """
        self._ask(ask="refuse", name="")

    def _refused(self, name: str) -> PolicyRefused:
        self._ask(ask="refuse", name=name)
        return PolicyRefused(REFUSED)

    def _raise_cost(self, box: SealedKey, opened: AccountSecrets, password: str) -> SealedKey:
        """Seals a box anew that costs less to guess than a new one would; returns the one kept."""
        old, new = box.cost, self._cost
        if old.memory_kib * old.passes >= new.memory_kib * new.passes:
            return box
        sealed = seal(opened, box.person, password, secrets.token_bytes, new, derived=self._derived)
        keep_account(self._home, SigningKey.from_bytes(opened.seed), sealed, self._clock)
        return sealed

    def _ask(self, **asked: Any) -> Mapping[str, Any]:
        if is_served(self._home):
            return dict(ask(self._home, "POST", "/logins", asked))
        with operations_over(self._home, self._clock) as operations:
            return answer_login(operations.accounts, asked)


def needs_login(folder: Path, *, demo: bool) -> bool:
    """Whether the dashboard over a folder of records asks for a login.

    Args:
        folder: of a coordinator, or of simulations.
        demo: whether whoever opens it says that it is to be shown without one.

    Raises:
        PolicyRefused: it is opened neither way; says what to do.
        WorkspaceRefused: there is no such folder.
    """
    is_copy = not (folder / "coordinator.key").is_file()
    if has_people(folder):
        if is_copy and not demo:
            raise PolicyRefused(
                f"{folder} is a copy of a consortium with people: logins are checked and logged "
                "where the coordinator is. --demo shows the copy, on this machine alone"
            )
        if demo and not is_copy:
            raise PolicyRefused(
                f"people are registered in {folder}: they log in. --demo is for folders without"
            )
        return not is_copy
    if is_coordinator(folder) and not is_copy and not demo:
        raise PolicyRefused(
            f"nobody is registered in {folder}, so nobody can log in: collegium people found, then "
            "collegium people account set. --demo shows it without a login, on this machine alone"
        )
    return False


def new_account(
    home: Path,
    key: SigningKey,
    password: str,
    clock: Clock = utc_now,
    cost: SealingCost = COST,
    draw: Callable[[int], bytes] = secrets.token_bytes,
) -> tuple[str, bytes]:
    """Sets a person's account; returns the name and the secret of the one-time codes.

    Args:
        home: the coordinator's folder.
        key: the person's; it is sealed.
        password: opens it from now on.
        clock: of the machine that signs.
        cost: of deriving.
        draw: draws random bytes.

    Raises:
        PolicyRefused: nobody is registered under the key, or the password is refused.
    """
    public = key.public.hex()
    known = {one["public_key"]: one["name"] for one in governance_of(home)["people"]}
    if public not in known:
        raise PolicyRefused("nobody is registered under this key: collegium people list")
    name = str(known[public])
    require_password(password, name)
    one_time = draw(SECRET_BYTES)
    opened = AccountSecrets(seed=key.to_bytes(), one_time_secret=one_time)
    keep_account(home, key, seal(opened, name, password, draw, cost), clock)
    return name, one_time


def keep_account(home: Path, key: SigningKey, box: SealedKey, clock: Clock = utc_now) -> None:
    """Has the service keep a sealed key, by an act of its owner.

    Raises:
        FederationError: it is refused.
    """
    said = {"key": box.public_key, "box": box.digest}
    request = ActRequest(
        action="account.set", subject_kind="person", subject=box.person, details=said
    )
    told = perform(home, request, key, {"box": box.to_bytes().decode()}, clock)
    if not told["attributed"]:
        raise PolicyRefused("no person is registered here yet: collegium people found")


def accounts_of(home: Path, clock: Clock = utc_now) -> tuple[Account, ...]:
    """Returns the accounts of a folder, by a look that writes nothing.

    Raises:
        FederationError: there is no such folder, or it cannot be read.
    """
    workspace = Workspace.open(home)
    with closing(Store.for_reading(workspace.database)) as store, store.read() as session:
        attempts = AccountFolder(home).read_attempts()
        return accounts_in(session, attempts, clock().timestamp())


def links_of(home: Path) -> tuple[IdentityLink, ...]:
    """Returns the identities that are linked to people, by a look that writes nothing.

    Raises:
        FederationError: there is no such folder, or it cannot be read.
    """
    workspace = Workspace.open(home)
    with closing(Store.for_reading(workspace.database)) as store, store.read() as session:
        return links_in(session)
