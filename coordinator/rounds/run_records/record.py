"""Writes down one run: what began, who joined, how it ended; each with its log entries."""

import json
import logging
import secrets
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from compliance.audit.log import NewEntry
from compliance.facts.dossier import RunManifest
from compliance.facts.dossier.preregistration import require_releasable
from compliance.governance.promise_check import require_promised
from compliance.storage.clock import timestamp, utc_now
from coordinator.database.store import ManifestRow, RunRow, Store
from coordinator.rounds.run_records.canaries import follow_canaries
from coordinator.rounds.run_records.software import environment
from coordinator.rounds.training import Outcome
from protocol.encoding import digest
from protocol.errors import FederationError, MessageRefused
from protocol.identity.roster import Roster, SigningKey
from protocol.study.study import Study
from protocol.transport.privacy_summary import (
    SignedSummary,
    Summary,
    open_summary,
    read_summaries,
    write_summaries,
)

log = logging.getLogger("collegium.coordinator")

#: What a run changes in a hospital's word: its ledger, and the log that it knows.
_CHANGES = {
    "budget_epsilon", "budget_share", "run_share", "ledger_head", "log_size", "log_root",
    "approvals",
}  # fmt: skip


def new_run_id() -> str:
    """Returns a run's name: its time and four random digits, so that names sort by time."""
    return f"{utc_now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


class RunRecord:
    """One run in the consortium's database and log."""

    def __init__(
        self,
        store: Store,
        key: SigningKey,
        roster: Roster,
        study: Study,
        run_id: str,
        *,
        test_noise: bool = False,
    ) -> None:
        """``test_noise``: whether the run is one of fixed test noise; ``begin`` says it anew."""
        self._test_noise = test_noise
        self._store, self._key, self._roster = store, key, roster
        self._study, self._run_id = study, run_id

    def begin(self, *, sweep: str | None, simulation: bool, test_noise: bool) -> None:
        """Registers the study's digest before any work.

        Raises:
            StudyRefused: its preregistration names a figure that it never releases.
        """
        study, roster = self._study, self._roster
        require_releasable(study)
        self._test_noise = test_noise
        row = RunRow(
            id=self._run_id,
            study_digest=study.digest,
            state="running",
            simulation=simulation,
            test_noise=test_noise,
            seed=study.seeds.model,
            sweep=sweep,
            started_at=timestamp(),
            roster_json=roster.canonical_bytes.decode(),
            sites_json="{}",
            environment_json=json.dumps(environment(), sort_keys=True),
        )
        with self._store.transaction() as transaction:
            registered = transaction.register(study)
            begun = self._entry("run-started", study.digest, transaction.write(row))
            transaction.log([*registered, self._entry("roster", roster.digest), begun], self._key)

    def describe(self, manifest: RunManifest) -> None:
        """Keeps the inputs of the run, with their digest in the log, before its first round.

        A run that goes on after a restart is described again where its inputs are others: the log
        then has an entry for each.
        """
        document = manifest.canonical_bytes.decode()
        with self._store.transaction() as transaction:
            row = transaction.session.get(ManifestRow, self._run_id)
            if row is None:
                row = ManifestRow(run_id=self._run_id)
            elif row.document == document:
                return
            row.document = document
            entry = self._entry("manifest", manifest.digest, transaction.write(row))
            transaction.log([entry], self._key)

    def keep(self, kind: str, signed: Mapping[str, SignedSummary]) -> dict[str, Summary]:
        """Keeps hospitals' signed summaries (``approvals`` or ``settlements``); returns them read.

        Figures follow from the summaries by which hospitals joined. So a settlement that
        contradicts the summary before it is not kept: that summary stays.

        Raises:
            MessageRefused: a summary is another hospital's, about another run or study, or
                promises something else than the study fixes.
        """
        with self._store.read() as session:
            before = read_summaries(session.get_one(RunRow, self._run_id).sites_json)
        kept = dict(signed)
        if kind == "settlements":
            kept |= {
                site: before[site]
                for site in sorted(signed.keys() & before.keys())
                if not self._is_settlement(site, signed[site], before[site])
            }
        summaries = {site: self.read(site, kept[site], priced=False) for site in sorted(kept)}
        text = write_summaries({site: kept[site] for site in summaries})
        with self._store.transaction() as transaction:
            row = transaction.run(self._run_id)
            row.sites_json = text
            entry = self._entry(kind, digest(text.encode()), transaction.write(row))
            transaction.log([entry], self._key)
        return summaries

    def _is_settlement(self, site: str, signed: SignedSummary, before: SignedSummary) -> bool:
        """Whether a hospital's last summary says of its privacy what its first one said."""
        joined = open_summary(before, self._roster.key_of(site))
        try:
            settled = self.read(site, signed, priced=False)
        except MessageRefused as error:
            log.warning("run %s: the settlement of %s is not kept: %s", self._run_id, site, error)
            return False
        others = [
            field.name
            for field in fields(Summary)
            if field.name not in _CHANGES
            and getattr(settled, field.name) != getattr(joined, field.name)
        ]
        if others:
            log.warning(
                "run %s: the settlement of %s is not kept: it joined with another %s",
                self._run_id, site, ", ".join(others),
            )  # fmt: skip
        return not others

    def read(self, site: str, signed: SignedSummary, *, priced: bool = True) -> Summary:
        """Returns what a hospital signed about this run.

        Args:
            site: the hospital.
            word: what it sent.
            priced: see ``require_promised``.

        Raises:
            MessageRefused: the signature is not the hospital's, it is about something else, or
                promises something else than the study fixes.
        """
        summary = open_summary(signed, self._roster.key_of(site))
        about = (summary.site, summary.run_id, summary.study_digest)
        if about != (site, self._run_id, self._study.digest):
            raise MessageRefused(f"{site} signed another site's, run's or study's summary")
        require_promised(self._study, summary, test_noise=self._test_noise, priced=priced)
        return summary

    def finish(self, outcome: Outcome, exact: Mapping[str, Any] | None) -> None:
        """Closes a run that reached its end; ``exact`` are a simulation's exact figures.

        Where it evaluated a given model, the canaries that this is about are followed.
        """
        with self._store.transaction() as transaction:
            row = transaction.run(self._run_id)
            row.state, row.ended_at = "finished", timestamp()
            row.model_digest = outcome.model_digest
            row.environment_json = json.dumps(environment(), sort_keys=True)
            entries = []
            if exact is not None:
                row.exact_json = json.dumps(exact, sort_keys=True)
                entries = [self._entry("exact-figures", digest(row.exact_json.encode()))]
            record = transaction.write(row)
            finished = self._entry("run-finished", outcome.model_digest, record)
            transaction.log([*entries, finished], self._key)
        follow_canaries(self._store, self._key, self._study, outcome.model_digest)

    def end(self, error: BaseException) -> None:
        """Writes down why a run ended early, once; hospitals keep their reasons at home.

        Nothing is written of a run whose beginning could not be written.
        """
        stopped = isinstance(error, KeyboardInterrupt | SystemExit)
        with self._store.transaction() as transaction:
            row = transaction.session.get(RunRow, self._run_id)
            if row is not None and row.state == "running":
                row.state = "stopped" if stopped else "failed"
                row.failure = _told_as(error)
                row.ended_at = timestamp()
                kind = digest(type(error).__name__.encode())
                ended = self._entry(f"run-{row.state}", kind, transaction.write(row))
                transaction.log([ended], self._key)

    def _entry(self, kind: str, payload: str, record: str | None = None) -> NewEntry:
        return NewEntry(type=kind, run_id=self._run_id, payload=payload, record=record)


def _told_as(error: BaseException) -> str:
    if isinstance(error, FederationError):
        return f"{type(error).__name__}: {error}"
    if isinstance(error, KeyboardInterrupt):
        return str(error) or "stopped by the user"
    return type(error).__name__  # its text might hold anything
