"""A person's act, signed here and carried out by the service; where none runs, over the folder.

The same checks are made either way (``coordinator.governance``). A folder without the coordinator's
key is a copy: nothing can be written down there, and that is said.
"""

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from compliance.governance.acts import SALT_BYTES, Act, ActRequest, sign_act
from compliance.storage.clock import Clock, utc_now
from coordinator.audit.verification import verify_rows
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.governance.accounts import AccountFolder, AccountRegister
from coordinator.governance.governance import FOUND
from coordinator.governance.models.register import ModelRegister
from coordinator.governance.models.release_key import ReleaseRegister
from coordinator.governance.models.weights_register import WeightsRegister
from coordinator.governance.operations import Operations
from coordinator.governance.people_register import is_governed
from coordinator.membership.authority import Authority
from coordinator.membership.directory import is_coordinator
from coordinator.membership.members import Members
from coordinator.rounds.ending.gate_facts import gate_facts
from coordinator.runs.admin_socket.asking import ask, is_served
from protocol.errors import PolicyRefused, StoreBroken, WorkspaceRefused
from protocol.identity.roster import SigningKey
from protocol.identity.timestamps import write_time


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """The outcome of an act that was only to be written down.

    ``act`` is its digest, None where nothing was logged; ``note`` says why, or by whom it was done.
    """

    act: str | None
    note: str


def perform(
    home: Path,
    request: ActRequest,
    key: SigningKey | None,
    payload: Mapping[str, Any] | None = None,
    clock: Clock = utc_now,
) -> dict[str, Any]:
    """Returns what is told of an act that was carried out; see ``Operations.perform``.

    Args:
        home: the coordinator's folder, or one of simulations.
        request: the act.
        key: the person's; None where nobody says who they are.
        payload: what travels beside the act.
        clock: the clock of the machine that signs.

    Raises:
        FederationError: the act is refused, or what it asks for is.
    """
    asked: dict[str, Any] = {"payload": dict(payload or {})}
    if key is None:
        asked["request"] = request.to_json()
    else:
        asked |= _signed(home, request, key, clock)
    if is_served(home):
        told = ask(home, "POST", "/acts", asked)
        return dict(told)
    with operations_over(home, clock) as operations:
        return operations.perform(asked)


def _signed(home: Path, request: ActRequest, key: SigningKey, clock: Clock) -> dict[str, Any]:
    """Returns an act signed by a person; unsigned where nobody can be known.

    That is while the consortium is founding, and while the database that knows people is away: the
    service then does what stops a run, and nothing else (``Operations.perform``).
    """
    try:
        standing = governance_of(home)
    except StoreBroken:
        return {"request": request.to_json()}
    if not standing["governed"] and request.action != FOUND:
        return {"request": request.to_json()}
    return {"signed": signed_request(standing, request, key, clock)}


def signed_request(
    standing: Mapping[str, Any], request: ActRequest, key: SigningKey, clock: Clock = utc_now
) -> dict[str, str]:
    """Returns an act signed by a person, as it travels.

    Args:
        standing: as ``governance_of`` returns it: whose consortium it is, under which policy.
        request: the act.
        key: the person's.
        clock: the clock of the machine that signs.

    Raises:
        PolicyRefused: nobody is registered under this key.
    """
    public = key.public.hex()
    known = {one["public_key"]: one["name"] for one in standing["people"]}
    person = request.subject if request.action == FOUND else known.get(public)
    if person is None:
        raise PolicyRefused(
            "nobody is registered under this key: collegium people list. An administrator proposes "
            "a person (collegium people propose), the first one registers (collegium people found)"
        )
    act = Act(
        consortium=standing["consortium"],
        person=person,
        public_key=public,
        time=write_time(clock()),
        policy=standing["policy_digest"],
        salt=secrets.token_hex(SALT_BYTES),
        request=request,
    )
    return sign_act(key, act).to_json()


def governance_of(home: Path) -> dict[str, Any]:
    """Returns how a consortium is governed; see ``Governance.standing``.

    Raises:
        WorkspaceRefused: there is no such folder.
        StoreBroken: its database or key is missing or damaged.
    """
    if is_served(home):
        return dict(ask(home, "GET", "/governance"))
    with operations_over(home, utc_now) as operations:
        return operations.governance.standing()


def record_act(home: Path, request: ActRequest, key: SigningKey | None) -> Recorded:
    """Writes down that something was done with a folder: an export, a login.

    In a consortium with people it refuses where nobody says who they are, and where it cannot be
    written down. On a copy, and while the consortium is founding, nothing is written down, and the
    note says so.

    Raises:
        FederationError: the act is refused, or cannot be written down.
    """
    if not (home / "coordinator.key").is_file():
        return Recorded(act=None, note="nothing was logged: this is a copy, without the log's key")
    try:
        if not os.access(home, os.W_OK):
            raise WorkspaceRefused("the folder cannot be written")
        told = perform(home, request, key)
    except WorkspaceRefused as error:  # nobody answers, or nothing can be written here
        if has_people(home):
            raise
        return Recorded(act=None, note=f"nothing was logged: {error}")
    if not told["attributed"]:
        return Recorded(
            act=None, note="nothing was logged: no person is registered in this consortium yet"
        )
    return Recorded(act=told["act"], note=f"logged as act {told['act'][:16]}")


def has_people(home: Path) -> bool:
    """Whether a person was ever registered, by a look that writes nothing."""
    with closing(Store.for_reading(Workspace.open(home).database, checked=False)) as store:
        with store.read() as session:
            return is_governed(session)


@contextmanager
def operations_over(home: Path, clock: Clock) -> Iterator[Operations]:
    """Yields the operations over a folder that no service holds.

    Raises:
        WorkspaceRefused: there is none.
        StoreBroken: its database is missing: a new one would know nobody.
    """
    workspace = Workspace(home) if (home / "coordinator.key").is_file() else Workspace.open(home)
    database = workspace.database
    if is_coordinator(home) and isinstance(database, Path) and not database.is_file():
        raise StoreBroken("collegium.db is missing: restore it from a backup")
    store = Store(workspace.database)
    try:
        key = workspace.signing_key()
        members = None
        if is_coordinator(home):
            members = Members(store, Authority.open(home, clock), key)
        accounts = AccountRegister(store, key, AccountFolder(home), clock)
        check = partial(verify_rows, public=key.public)
        yield Operations(
            store,
            key,
            members,
            clock=clock,
            accounts=accounts,
            models=ModelRegister(store, key, clock, gate_facts, check),
            weights=WeightsRegister(store, key, home, clock),
            releases=ReleaseRegister(store, key, home),
        )
    finally:
        store.close()
