"""The operations that people ask for, each carried out once its act is taken.

One table says for every act what does it. An act without a line there is only written down: the
command that asked does the rest, on its own machine (exports, certificates).
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

from compliance.facts.dossier.preregistration import require_releasable
from compliance.governance.incidents.course import Measure
from compliance.governance.models.stages import EventKind
from compliance.governance.people import read_access_policy
from compliance.governance.two_person import Change, ChangeState
from compliance.storage.clock import Clock, utc_now
from coordinator.database.store import Store
from coordinator.governance.accounts import AccountRegister
from coordinator.governance.alert_notes import acknowledge
from coordinator.governance.governance import (
    FOUND,
    Authorised,
    Governance,
    asked_for,
    change_of,
    change_row,
    changes_in,
)
from coordinator.governance.incident_register import (
    IncidentRegister,
    incident_json,
    incident_of,
    incident_row,
    incidents_in,
)
from coordinator.governance.models.register import ModelRegister
from coordinator.governance.models.release_key import ReleaseRegister
from coordinator.governance.models.serving import ServingRegister
from coordinator.governance.models.weights_register import WeightsRegister
from coordinator.governance.people_register import PeopleWriter, is_governed
from coordinator.governance.run_deviations import declare_deviation
from coordinator.membership.members import Members
from protocol.encoding import parse_canonical
from protocol.errors import FederationError, MessageRefused, PolicyRefused, StoreBroken
from protocol.identity.roster import SigningKey
from protocol.identity.timestamps import write_time
from protocol.study.study import Study
from protocol.transport.enrolment import to_bytes

log = logging.getLogger("collegium.coordinator")

#: Carries out an act; returns what is told of it. The second argument is what came beside the act.
Operation: TypeAlias = Callable[[Authorised, Mapping[str, Any]], dict[str, Any]]
#: What a containment may do, with the detail that names the subjects.
MEASURES = ("pause", "stop", "revoke", "suspend", "roll-back")
#: The acts on a model's version that no gate keeps back.
_MODEL_STEPS = {
    "model.end-canary": EventKind.CANARY_ENDED,
    "model.roll-back": EventKind.ROLLED_BACK,
    "model.retire": EventKind.RETIRED,
    "model.name": EventKind.NAMED,
}


class RunSteering(Protocol):
    """The running service, as far as people steer its runs."""

    def start_run(self, study_digest: str, *, test_noise: bool = False, again: bool = False) -> str:
        """Begins a run; returns its id."""

    def steer(self, run_id: str, what: str) -> None:
        """Pauses, resumes or stops a run."""


class Operations:
    """Acts of people over one consortium's folder.

    Args:
        store: the consortium's database.
        key: signs the log.
        members: the register of hospitals; None in a folder of simulations, which has none.
        runs: the running service; None where none runs.
        clock: says what time it is.
        accounts: the register of accounts of the dashboard; None where there is no folder.
        models: the register of models; None where none is kept.
        weights: the register of encrypted models; None where there is no folder.
        releases: signs exported models; None where there is no folder.
    """

    def __init__(
        self,
        store: Store,
        key: SigningKey,
        members: Members | None = None,
        runs: RunSteering | None = None,
        clock: Clock = utc_now,
        accounts: AccountRegister | None = None,
        models: ModelRegister | None = None,
        weights: WeightsRegister | None = None,
        releases: ReleaseRegister | None = None,
    ) -> None:
        self._store, self._key, self._clock = store, key, clock
        self._members, self._runs, self._accounts = members, runs, accounts
        self._models, self._weights, self._releases = models, weights, releases
        self._serving = ServingRegister(store, key)
        self.governance = Governance(store, key, clock)
        self._incidents = IncidentRegister(store, key, clock)
        own = self._incidents
        self._table: Mapping[str, Operation] = {
            "run.start": self._start,
            "run.pause": self._steer,
            "run.resume": self._steer,
            "run.stop": self._steer,
            "run.deviate": lambda taken, _: declare_deviation(store, taken),
            "study.register": self._register,
            "alert.acknowledge": self._acknowledge,
            "hospital.invite": self._invite,
            "hospital.revoke": self._revoke,
            "roster.propose": self._propose_roster,
            "person.add": self._people,
            "person.roles": self._people,
            "person.retire": self._people,
            "policy.change": self._change_policy,
            "incident.open": lambda taken, _: own.open(taken),
            "incident.contain": self._contain,
            "incident.confirm": lambda taken, _: own.confirm(taken),
            "incident.notify": lambda taken, _: own.notify(taken),
            "incident.close": lambda taken, _: own.close(taken),
            "hold.place": lambda taken, _: own.place_hold(taken),
            "hold.lift": lambda taken, _: own.lift_hold(taken),
            "account.set": lambda taken, beside: self.accounts.set(taken, beside),
            "account.remove": lambda taken, beside: self.accounts.remove(taken, beside),
            "account.unlock": lambda taken, beside: self.accounts.unlock(taken, beside),
            "account.link": lambda taken, beside: self.accounts.links.link(taken, beside),
            "account.unlink": lambda taken, beside: self.accounts.links.unlink(taken, beside),
            "model.register": lambda taken, _: self.models.register(taken),
            "model.canary": lambda taken, _: self.models.begin_canary(taken),
            "model.end-canary": self._model_step,
            "model.promote": lambda taken, _: self.models.promote(taken),
            "model.roll-back": self._model_step,
            "model.retire": self._model_step,
            "model.name": self._model_step,
            "model.export": lambda taken, beside: self.releases.export(taken, beside),
            "model.confirm-served": lambda taken, beside: self._serving.take(taken, beside),
            "login": self._login,
            "weights.seal": lambda taken, beside: self.weights.seal(taken, beside),
            "weights.open": lambda taken, _: self.weights.open(taken),
            "weights.rewrap": lambda taken, beside: self.weights.rewrap(taken, beside),
            "weights.retire": lambda taken, _: self.weights.retire(taken),
        }

    @property
    def accounts(self) -> AccountRegister:
        """The register of accounts.

        Raises:
            PolicyRefused: there is none here.
        """
        if self._accounts is None:
            raise PolicyRefused("accounts are kept in a coordinator's folder: there is none here")
        return self._accounts

    @property
    def models(self) -> ModelRegister:
        """The register of models.

        Raises:
            PolicyRefused: none is kept here.
        """
        if self._models is None:
            raise PolicyRefused("no register of models is kept here")
        return self._models

    @property
    def weights(self) -> WeightsRegister:
        """The register of encrypted models.

        Raises:
            PolicyRefused: there is none here.
        """
        if self._weights is None:
            raise PolicyRefused("encrypted models are kept in a folder: there is none here")
        return self._weights

    @property
    def releases(self) -> ReleaseRegister:
        """The register of exports, which signs them.

        Raises:
            PolicyRefused: there is none here.
        """
        if self._releases is None:
            raise PolicyRefused("models are exported from a folder of runs: there is none here")
        return self._releases

    def perform(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Takes an act and carries it out; returns what is told of it.

        Args:
            asked: an act or a wish as ``Governance.authorise`` takes it, and beside it ``payload``.

        ``attributed`` in the answer is whether a person stands for it, ``change`` the number of the
        change that waits for a second person, if that is what came of it.

        Raises:
            FederationError: the act is refused, or what it asks for is.
        """
        try:
            taken = self.governance.authorise(asked)
        except StoreBroken as error:
            return self._stopped(asked, error)
        told: dict[str, Any] = {
            "attributed": taken.act is not None,
            "act": taken.act,
            "person": taken.person or None,
        }
        if taken.waits:
            return told | {"change": taken.change, "waits": True}
        operation = self._table.get(taken.request.action)
        payload = asked.get("payload") or {}
        try:
            done = operation(taken, payload) if operation is not None else {}
        except FederationError as error:
            self.governance.finish(taken, error)
            raise
        self.governance.finish(taken, result=done)
        if taken.request.action == FOUND:
            done = {"name": taken.person}
        return (
            told | {"change": taken.change, "waits": False, "action": taken.request.action} | done
        )

    def _stopped(self, asked: Mapping[str, Any], error: StoreBroken) -> dict[str, Any]:
        """Pauses or stops a run while the database is away: stopping waits for nothing.

        Nobody's right can be looked up then, and nothing be written down; only the folder's owner
        can ask at all.

        Raises:
            StoreBroken: something else was asked for, or no service runs.
        """
        wanted = asked_for(asked)
        if self._runs is None or wanted.action not in ("run.pause", "run.stop"):
            raise error
        log.warning(
            "%s of run %s is attributed to nobody: %s", wanted.action, wanted.subject, error
        )
        self._runs.steer(wanted.subject, wanted.action.removeprefix("run."))
        return {"attributed": False, "act": None, "person": None, "change": None, "waits": False}

    def change(self, number: int) -> Change:
        """Returns a change by its number.

        Raises:
            PolicyRefused: there is none.
        """
        with self._store.read() as session:
            return change_of(change_row(session, str(number)))

    def overview(self) -> dict[str, Any]:
        """Returns whether acts have a person, what waits for a second, and the open incidents."""
        now = self._clock()
        with self._store.read() as session:
            waiting = [
                {"number": row.id, "expires": row.expires, "proposed_by": row.proposed_by}
                for row in changes_in(session)
                if change_of(row).state_at(write_time(now)) is ChangeState.PROPOSED
            ]
            return {
                "governed": is_governed(session),
                "changes": waiting,
                "incidents": [
                    incident_json(one.number, one.incident, now)
                    for one in incidents_in(session, closed=False)
                ],
            }

    def _start(self, taken: Authorised, _payload: Mapping[str, Any]) -> dict[str, Any]:
        said = taken.request.details
        run = self._service.start_run(
            taken.request.subject,
            test_noise=said.get("test_noise") is True,
            again=said.get("again") is True,
        )
        return {"run_id": run}

    def _model_step(self, taken: Authorised, _payload: Mapping[str, Any]) -> dict[str, Any]:
        return self.models.step(taken, _MODEL_STEPS[taken.request.action])

    def _login(self, taken: Authorised, payload: Mapping[str, Any]) -> dict[str, Any]:
        return {} if self._accounts is None else self._accounts.login(taken, payload)

    def _steer(self, taken: Authorised, _payload: Mapping[str, Any]) -> dict[str, Any]:
        self._service.steer(taken.request.subject, taken.request.action.removeprefix("run."))
        return {}

    def _register(self, taken: Authorised, payload: Mapping[str, Any]) -> dict[str, Any]:
        document = str(payload.get("document", "")).encode()
        study = Study.model_validate(parse_canonical(document))
        if study.digest != taken.request.subject:
            raise MessageRefused("the study is not the one whose digest the act names")
        require_releasable(study)
        with self._store.transaction() as transaction:
            new = transaction.register(study)
            if new:
                transaction.log(new, self._key)
        return {"name": study.name, "digest": study.digest, "new": bool(new)}

    def _acknowledge(self, taken: Authorised, _payload: Mapping[str, Any]) -> dict[str, Any]:
        number, said = taken.request.subject, taken.request.details
        if not number.isdecimal() or len(number) > 9:
            raise PolicyRefused(f"there is no alert {number}: collegium alerts list --all")
        by = taken.person or str(said.get("by", ""))
        at = write_time(self._clock())
        with self._store.transaction() as transaction:
            entry = acknowledge(transaction, int(number), by, str(said.get("note", "")), at)
            transaction.log([entry], self._key)
        return {"alert": int(number), "by": by.strip()}

    def _invite(self, taken: Authorised, _payload: Mapping[str, Any]) -> dict[str, Any]:
        said = taken.request.details
        enrol = said.get("enrol_url")
        made = self._hospitals.invite(
            taken.request.subject, str(said.get("url", "")), None if enrol is None else str(enrol)
        )
        return {
            "site": made.site,
            "url": made.url,
            "enrol_url": made.enrol_url,
            "expires": made.expires,
            "invitation": to_bytes(made).decode(),
        }

    def _revoke(self, taken: Authorised, _payload: Mapping[str, Any]) -> dict[str, Any]:
        site = taken.request.subject
        self._hospitals.revoke(site, str(taken.request.details.get("reason", "")))
        current = self._hospitals.rosters.current()
        named = current is not None and site in current.roster.sites
        return {"site": site, "revoked": True, "in_signed_roster": named}

    def _propose_roster(self, taken: Authorised, _payload: Mapping[str, Any]) -> dict[str, Any]:
        renew = taken.request.details.get("renew") is True
        return {"version": self._hospitals.rosters.propose(renew=renew).version}

    def _people(self, taken: Authorised, _payload: Mapping[str, Any]) -> dict[str, Any]:
        request = taken.request
        with self._store.transaction() as transaction:
            writer = PeopleWriter(transaction, self._clock())
            if request.action == "person.add":
                writer.add(request, taken.act or "")
            elif request.action == "person.roles":
                writer.change_roles(request, taken.act or "")
            else:
                writer.retire(request.subject)
            transaction.log(writer.entries, self._key)
        return {"person": request.subject}

    def _change_policy(self, taken: Authorised, _payload: Mapping[str, Any]) -> dict[str, Any]:
        text = str(taken.request.details.get("policy", ""))
        said: Any = parse_canonical(text.encode())
        policy = read_access_policy(said)
        with self._store.transaction() as transaction:
            writer = PeopleWriter(transaction, self._clock())
            writer.change_policy(policy)
            transaction.log(writer.entries, self._key)
        return {"version": policy.version, "digest": policy.digest}

    def _contain(self, taken: Authorised, _payload: Mapping[str, Any]) -> dict[str, Any]:
        with self._store.read() as session:
            incident = incident_of(incident_row(session, taken.request.subject))
        measures = [
            Measure(kind=kind, subject=subject)
            for kind in MEASURES
            for subject in _subjects(taken.request.details.get(kind))
        ]
        # Refused before anything is done where the incident is closed or nothing is said.
        self._incidents.require_containable(taken, incident)
        done = [self._measured(one, incident.drill, taken) for one in measures]
        return self._incidents.contain(taken, done)

    def _measured(self, measure: Measure, drill: bool, taken: Authorised) -> Measure:
        """Returns a measure with what came of it; one that fails does not keep back the others."""
        if drill:
            return Measure(kind=measure.kind, subject=measure.subject, result="would be done")
        try:
            result = self._carried_out(measure, taken)
        except FederationError as error:
            result = f"failed: {error}"
        return Measure(kind=measure.kind, subject=measure.subject, result=result)

    def _carried_out(self, measure: Measure, taken: Authorised) -> str:
        if measure.kind in ("pause", "stop"):
            self._service.steer(measure.subject, measure.kind)
        elif measure.kind == "revoke":
            reason = f"incident {taken.request.subject}: {taken.request.details.get('note', '')}"
            self._hospitals.revoke(measure.subject, reason)
        elif measure.kind == "suspend":
            with self._store.transaction() as transaction:
                writer = PeopleWriter(transaction, self._clock())
                writer.suspend(measure.subject)
                if writer.entries:
                    transaction.log(writer.entries, self._key)
        else:
            return "recorded: this version rolls back no released model"
        return "done"

    @property
    def _service(self) -> RunSteering:
        if self._runs is None:
            raise PolicyRefused(
                "no service runs over this folder, so no run is at work: collegium coordinator "
                "start"
            )
        return self._runs

    @property
    def _hospitals(self) -> Members:
        if self._members is None:
            raise PolicyRefused("a folder of simulations has no hospitals to invite or revoke")
        return self._members


def _subjects(said: Any) -> tuple[str, ...]:
    return said if isinstance(said, tuple) else ()
