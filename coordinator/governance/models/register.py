"""The register of a consortium's models: every step of a version is an act and an entry of the log.

A line's versions are signed snapshots. What a version must show before each step is judged here,
in the transaction that writes it (``compliance.governance.models.gates``), by facts that come from
the runs. That the rows which say them are those that were logged is checked just before, without
holding up who writes meanwhile; what is changed later is found by ``audit verify``. One step is the
coordinator's own: a canary that is worse than the version in production is ended at once
(``follow``).
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy.orm import Session

from compliance.audit.log import NewEntry
from compliance.facts.figures import TASK_FIGURES
from compliance.governance.models.comparison import CanaryFigures, canary_verdict
from compliance.governance.models.gate import Gate, GateResult
from compliance.governance.models.gates import GateFacts, GateRules, judge, read_rules
from compliance.governance.models.stages import EventKind, ModelLine, Stage, StageEvent
from compliance.storage.clock import Clock
from coordinator.database.store import RunRow, Store, Transaction, stored_study
from coordinator.governance.governance import Authorised
from coordinator.governance.models.lines import MODEL_ENTRY, line_of, rules_of
from coordinator.governance.models.snapshots import signed_snapshot
from coordinator.governance.models.tables import ModelEventRow, ModelLineRow
from protocol.errors import PolicyRefused
from protocol.identity.roster import SigningKey, parse_roster
from protocol.identity.timestamps import write_time
from protocol.study.study import Study
from protocol.transport.snapshot import SignedSnapshot, Snapshot

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")

#: A secure sum has so many hospitals at least, and so has a canary that is evaluated by one.
_LEAST_SITES = 3

#: Returns what gates judge a snapshot of a line by, beside one in production (or None).
ReadsFacts = Callable[[Session, SignedSnapshot, SignedSnapshot | None, ModelLine], GateFacts]
#: Raises ``StoreBroken`` where a row is not what was logged.
ChecksRows = Callable[[Session], None]


class ModelRegister:
    """The lines of models of one consortium.

    Args:
        store: the consortium's database.
        key: signs the log.
        clock: says what time it is.
        facts: reads what gates judge by.
        check: refuses a database whose rows are not those that were logged; left out by whoever
            writes the rows itself, a run that ends.
    """

    def __init__(
        self,
        store: Store,
        key: SigningKey,
        clock: Clock,
        facts: ReadsFacts,
        check: ChecksRows = lambda session: None,
    ) -> None:
        self._store, self._key, self._clock = store, key, clock
        self._facts, self._check = facts, check

    def register(self, taken: Authorised) -> dict[str, Any]:
        """Registers a snapshot as a candidate; a line's first one founds it, with its thresholds.

        Raises:
            PolicyRefused: the snapshot is of another task or label than the line's, or the
                thresholds are not those of the line, or can never be met.
            MessageRefused: a signature of the snapshot does not verify.
            QuorumLost: fewer hospitals have signed it than must.
        """
        line, said = taken.request.subject, taken.request.details
        if not _NAME.fullmatch(line):
            raise PolicyRefused("a model's name has small letters, digits, dots and dashes")
        wanted = read_rules(json.loads(str(said["rules"]))) if "rules" in said else None
        with self._store.transaction() as transaction:
            session = transaction.session
            signed = signed_snapshot(session, str(said.get("version", "")))
            row = session.get(ModelLineRow, line)
            if row is not None and wanted is not None and rules_of(row) != wanted:
                raise PolicyRefused(
                    f"{line} has other thresholds since it was founded: they judge all of its "
                    "versions; found another line for other ones"
                )
            roster = session.get_one(RunRow, signed.snapshot.run).roster_json
            signed.require_signed(self._key.public, parse_roster(roster.encode()))
            study = stored_study(session, signed.snapshot.study)
            signed.snapshot.require_quorum(study.threshold, study.site_names)
            _require_alike(session, line, signed.snapshot)
            entries = []
            if row is None:
                rules = wanted or GateRules()
                _require_attainable(rules, study)
                row = ModelLineRow(
                    name=line,
                    rules_json=json.dumps(rules.to_json(), sort_keys=True),
                    founded_at=taken.at,
                    act=taken.act or "",
                )
                entries.append(_entry(transaction, "founded", row, row.rules_digest))
            event = self._event(taken, EventKind.REGISTERED, signed.snapshot.digest)
            return self._written(transaction, line, event, taken.act, entries)

    def begin_canary(self, taken: Authorised) -> dict[str, Any]:
        """Makes a candidate the canary of some hospitals, once it passes every gate.

        Raises:
            PolicyRefused: a gate keeps it back, a hospital is not of its run, or it was ended as
                worse than what is in production still.
            StoreBroken: a row is not what was logged.
        """
        self._require_logged()
        sites = taken.request.details.get("sites", ())
        sites = tuple(sorted(set(sites))) if isinstance(sites, tuple) else ()
        with self._store.transaction() as transaction:
            session = transaction.session
            signed = self._version(session, taken)
            unknown = sorted(set(sites) - set(signed.snapshot.sites))
            if unknown:
                raise PolicyRefused(f"{', '.join(unknown)}: no hospital of the version's run")
            self._require_gates(session, taken.request.subject, signed, Stage.CANDIDATE)
            worse = line_of(session, taken.request.subject).regression_of(signed.snapshot.digest)
            if worse is not None:
                raise PolicyRefused(
                    f"model {signed.snapshot.digest[:12]} was a canary until {worse.time} and was "
                    f"ended by itself ({worse.reason}): it is tried again once another version is "
                    "in production; until then train a better one"
                )
            rules = rules_of(session.get_one(ModelLineRow, taken.request.subject))
            if rules.canary_evaluation and len(sites) < _LEAST_SITES:
                raise PolicyRefused(
                    f"a canary is evaluated by a secure sum of its hospitals: name {_LEAST_SITES} "
                    "at least; a model founded with --no-canary-evaluation asks for none"
                )
            event = self._event(taken, EventKind.CANARY_BEGUN, signed.snapshot.digest, sites=sites)
            return self._written(transaction, taken.request.subject, event, taken.act)

    def promote(self, taken: Authorised) -> dict[str, Any]:
        """Takes the canary into production at every hospital, once it passes every gate.

        Raises:
            PolicyRefused: it is no canary, or a gate keeps it back.
            StoreBroken: a row is not what was logged.
        """
        self._require_logged()
        with self._store.transaction() as transaction:
            session = transaction.session
            signed = self._version(session, taken)
            self._require_gates(session, taken.request.subject, signed, Stage.CANARY)
            event = self._event(taken, EventKind.PROMOTED, signed.snapshot.digest)
            return self._written(transaction, taken.request.subject, event, taken.act)

    def step(self, taken: Authorised, kind: EventKind) -> dict[str, Any]:
        """Ends a canary, rolls back, retires or names a version: what no gate keeps back."""
        line = taken.request.subject
        with self._store.transaction() as transaction:
            session = transaction.session
            if kind is EventKind.ROLLED_BACK and "version" not in taken.request.details:
                version = _in_production(session, line)
            else:
                version = self._version(session, taken).snapshot.digest
            alias = str(taken.request.details.get("alias", ""))
            event = self._event(taken, kind, version, alias=alias)
            return self._written(transaction, line, event, taken.act)

    def gates(self, line: str, version: str) -> tuple[Gate, ...]:
        """Returns how every gate stands for a version now.

        Raises:
            PolicyRefused: there is no such line or version.
            StoreBroken: a row is not what was logged.
        """
        with self._store.read() as session:
            self._check(session)
            return self._gates(session, line, signed_snapshot(session, version))

    def follow(
        self, line: str, found: CanaryFigures, *, figure: str, higher_is_better: bool = True
    ) -> StageEvent | None:
        """Ends a canary that is worse than the version in production at the same hospitals.

        That a canary holds is written down too. Nothing is where a figure was withheld.

        Args:
            line: the model.
            found: the released figures of both, at the canary's hospitals.
            figure: what they are called.
            higher_is_better: False of an error.

        Returns:
            What happened; None where nothing did.
        """
        with self._store.transaction() as transaction:
            session = transaction.session
            state = line_of(session, line).state
            if state.canary != found.version or not found.is_complete:
                return None
            rules = rules_of(session.get_one(ModelLineRow, line))
            result, said = canary_verdict(
                found, figure=figure, higher_is_better=higher_is_better, margin=rules.margin
            )
            if result is GateResult.OPEN:
                return None
            is_worse = result is GateResult.FAILED
            runs = f" (runs {', '.join(found.runs)})" if found.runs else ""
            event = StageEvent(
                kind=EventKind.CANARY_ENDED if is_worse else EventKind.CANARY_EVALUATED,
                version=state.canary,
                time=write_time(self._clock()),
                reason=f"{'regression' if is_worse else 'holds'}: {said}{runs}",
            )
            self._written(transaction, line, event, None)
        return event

    def _require_logged(self) -> None:
        """Checks every row by the log, in a reading of its own: a long log takes a while."""
        with self._store.read() as session:
            self._check(session)

    def _version(self, session: Session, taken: Authorised) -> SignedSnapshot:
        """Returns the version that an act names.

        Raises:
            PolicyRefused: there is no such snapshot, or no such line.
        """
        version = str(taken.request.details.get("version", ""))
        found = signed_snapshot(session, version)
        line_of(session, taken.request.subject)
        return found

    def _gates(self, session: Session, line: str, signed: SignedSnapshot) -> tuple[Gate, ...]:
        whole = line_of(session, line)
        reference, production = whole.state.reference, None
        if reference is not None and reference != signed.snapshot.digest:
            production = signed_snapshot(session, reference)
        facts = self._facts(session, signed, production, whole)
        return judge(facts, rules_of(session.get_one(ModelLineRow, line)))

    def _require_gates(
        self, session: Session, line: str, signed: SignedSnapshot, stage: Stage
    ) -> None:
        """Refuses a version of another stage, or one that a gate keeps back."""
        line_of(session, line).state.require(signed.snapshot.digest, stage)
        back = [one for one in self._gates(session, line, signed) if one.result != "passed"]
        if back:
            told = "; ".join(
                f"{one.name} {'is open' if one.result is GateResult.OPEN else 'failed'}: {one.said}"
                for one in back
            )
            raise PolicyRefused(f"model {signed.snapshot.digest[:12]} is kept back. {told}")

    def _event(
        self,
        taken: Authorised,
        kind: EventKind,
        version: str,
        *,
        sites: tuple[str, ...] = (),
        alias: str = "",
    ) -> StageEvent:
        return StageEvent(
            kind=kind,
            version=version,
            time=taken.at,
            sites=sites,
            alias=alias,
            by=taken.person,
            reason=str(taken.request.details.get("reason", "")),
        )

    def _written(
        self,
        transaction: Transaction,
        line: str,
        event: StageEvent,
        act: str | None,
        entries: Sequence[NewEntry] = (),
    ) -> dict[str, Any]:
        """Writes an event that follows from the line's history; returns how the line stands."""
        state = line_of(transaction.session, line, founded=bool(entries)).with_event(event).state
        row = ModelEventRow(
            line=line,
            kind=event.kind,
            version=event.version,
            at=event.time,
            sites_json=json.dumps(event.sites),
            alias=event.alias,
            by=event.by,
            reason=event.reason,
            act=act or "",
        )
        entry = _entry(transaction, event.kind, row, event.version)
        transaction.log([*entries, entry], self._key)
        return {
            "model": line,
            "version": event.version,
            "stage": state.stages[event.version],
            "production": state.production,
            "canary": state.canary,
            "canary_sites": list(state.canary_sites),
        }


def _require_alike(session: Session, name: str, snapshot: Snapshot) -> None:
    """Refuses a version that predicts something else than a line's versions before it.

    Raises:
        PolicyRefused: its task or its label is another: no figure of theirs can be compared.
    """
    before = line_of(session, name, founded=True).events
    if not before:
        return
    earlier = signed_snapshot(session, before[0].version).snapshot
    ours, theirs = (stored_study(session, one.study) for one in (snapshot, earlier))
    if (ours.task.kind, ours.cohort.label) != (theirs.task.kind, theirs.cohort.label):
        raise PolicyRefused(
            f"the snapshot of run {snapshot.run} predicts something else than the versions of "
            f"{name}: another task or label is another model"
        )


def _require_attainable(rules: GateRules, study: Study) -> None:
    """Refuses a threshold that no figure of the study's task can ever meet.

    Raises:
        PolicyRefused: ``least`` is above the most that the headline can be.
    """
    kind = TASK_FIGURES[study.task.kind].headline
    most = kind.high if kind.higher_is_better else None
    if rules.least is not None and most is not None and rules.least > most:
        raise PolicyRefused(
            f"--least {rules.least:g}: {kind.title} is {most:g} at most, and a model's thresholds "
            "stay as they were when it was founded"
        )


def _in_production(session: Session, name: str) -> str:
    """Returns the version of a line that is in production.

    Raises:
        PolicyRefused: none is.
    """
    version = line_of(session, name).state.production
    if version is None:
        raise PolicyRefused(f"no version of {name} is in production: there is nothing to roll back")
    return version


def _entry(
    transaction: Transaction, kind: str, row: ModelLineRow | ModelEventRow, payload: str
) -> NewEntry:
    record = transaction.write(row)
    return NewEntry(type=f"{MODEL_ENTRY}{kind}", run_id=None, payload=payload, record=record)
