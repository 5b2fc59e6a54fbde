"""One run on started hospitals: who joined, what came out, how it ended, all written down.

This is what a sweep's Ray task imports, so it stays light: no torch, no accounting.
"""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import ray
from sqlalchemy import select

from collegium.consortium import Consortium, told
from collegium.exact import exact_figures
from collegium.progress import Silent
from compliance.audit_log import NewEntry
from coordinator.evidence import RoundShelf
from coordinator.ray_link import RayLink
from coordinator.runner import Outcome, Runner, Watcher
from coordinator.store import RunRow, Store, Transaction, now
from coordinator.workspace import Workspace
from protocol.encoding import digest
from protocol.errors import (
    FederationError,
    MessageRefused,
    PolicyRefused,
)
from protocol.study import Study
from protocol.summary import Summary, open_summary, read_words, signed_words
from protocol.tensors import Tensors, decode_tensors, model_digest
from silos.invitation import Invitation
from silos.own_words import OwnWords

SILENT: Watcher = Silent()
#: Of how many ended runs a hospital is reminded.
_REMEMBERED_RUNS = 20


def new_run_id() -> str:
    """Returns a run's name: its time and four random digits, so that names sort by time."""
    stamp = now()[:19].replace("-", "").replace(":", "").replace("T", "-")
    return f"{stamp}-{os.urandom(2).hex()}"


def run_study(
    hospitals: Consortium,
    study: Study,
    index: bytes | None,
    run_id: str,
    sweep: str | None,
    watcher: Watcher,
) -> str:
    """Runs one study on started hospitals, remembering everything; returns the run's id."""
    workspace = Workspace.open(hospitals.root)
    store = Store(workspace.database)
    record = RunRecord(store, workspace, hospitals, study, run_id)
    try:
        record.begin(sweep)
        summaries = record.join(index)
        initial = _agreed_model(hospitals, run_id)
        runner = Runner(
            run_id=run_id,
            study=study,
            roster=hospitals.roster,
            key=workspace.signing_key(),
            store=store,
            link=RayLink(hospitals.actors),
            shelf=workspace,
            evidence=RoundShelf(workspace.rounds),
            threads=os.cpu_count() or 1,
            watcher=watcher,
        )
        outcome = runner.run(initial, summaries)
        record.finish(outcome)
    except BaseException as error:  # also Ctrl-C: the run's state is written, then it goes on
        record.end(error)
        raise
    finally:
        store.close()
    return run_id


@ray.remote(
    num_cpus=0, resources={"coordinator": 1}, max_retries=0
)  # a repeated run would be charged twice
def run_task(
    hospitals: Consortium, study: Study, index: bytes | None, run_id: str, sweep: str
) -> str | FederationError:
    """Runs one study of a sweep in a process of its own; a refusal comes back as a value."""
    try:
        return run_study(hospitals, study, index, run_id, sweep, SILENT)
    except FederationError as error:
        return error


class RunRecord:
    """Writes down one run: what began, who joined, how it ended."""

    def __init__(
        self, store: Store, workspace: Workspace, hospitals: Consortium, study: Study, run_id: str
    ) -> None:
        self._store = store
        self._key = workspace.signing_key()
        self._hospitals = hospitals
        self._study = study
        self._run_id = run_id

    def begin(self, sweep: str | None) -> None:
        """Registers the study's digest before any work (preregistration)."""
        study, roster = self._study, self._hospitals.roster
        with self._store.transaction() as transaction:
            new = transaction.register(study.digest, study.name, study.canonical_bytes)
            transaction.add(
                RunRow(
                    id=self._run_id,
                    study_digest=study.digest,
                    state="running",
                    simulation=True,
                    test_noise=self._hospitals.test_noise,
                    seed=study.seeds.model,
                    sweep=sweep,
                    started_at=now(),
                    roster_json=roster.canonical_bytes.decode(),
                    sites_json="{}",
                    environment_json=json.dumps(environment(), sort_keys=True),
                )
            )
            if new:
                self._log(transaction, "study-registered", study.digest)
            self._log(transaction, "roster", roster.digest)
            self._log(transaction, "run-started", study.digest)

    def join(self, index: bytes | None) -> dict[str, Summary]:
        """Lets every hospital approve, check its records and reserve; returns their words."""
        workspace = Workspace(self._hospitals.root)
        common = Invitation(
            run_id=self._run_id,
            study=self._study,
            roster=self._hospitals.roster,
            coordinator_public=workspace.public_key(),
            data=self._hospitals.data,
            index_file=index,
            fixed_noise_seed=self._study.seeds.model if self._hospitals.test_noise else None,
        )
        actors = self._hospitals.actors
        words = self._own_words()
        signed = told(
            {
                site: actor.join.remote(replace(common, own_words=words[site]))
                for site, actor in actors.items()
            }
        )
        return self._keep("approvals", signed)

    def _own_words(self) -> dict[str, OwnWords]:
        """Returns what each hospital signed about its ledger in the newest runs that ended."""
        query = (
            select(RunRow.sites_json)
            .where(RunRow.ended_at.is_not(None))
            .order_by(RunRow.ended_at.desc())
            .limit(_REMEMBERED_RUNS)
        )
        with self._store.read() as session:
            kept = [read_words(text) for text in session.scalars(query)]
        return {
            site: OwnWords(summaries=tuple(words[site] for words in kept if site in words))
            for site in self._hospitals.actors
        }

    def finish(self, outcome: Outcome) -> None:
        """Settles every ledger, adds the simulation's exact figures and closes the run."""
        actors = self._hospitals.actors
        exact = ray.get(exact_figures.remote(dict(actors), self._run_id, dict(outcome.model)))
        signed = told({site: actor.leave.remote(self._run_id) for site, actor in actors.items()})
        self._keep("settlements", signed)
        with self._store.transaction() as transaction:
            row = transaction.run(self._run_id)
            row.state, row.ended_at = "finished", now()
            row.exact_json = json.dumps(exact, sort_keys=True)
            self._log(transaction, "exact-figures", digest(row.exact_json.encode()))
            row.environment_json = json.dumps(environment(), sort_keys=True)
            self._log(transaction, "run-finished", outcome.model_digest)

    def end(self, error: BaseException) -> None:
        """Writes down why a run ended early, and lets every hospital settle what it reserved.

        The hospitals' reasons stay in their own logs.
        """
        actors = self._hospitals.actors.values()
        ray.wait([actor.leave.remote(self._run_id) for actor in actors], num_returns=len(actors))
        stopped = isinstance(error, KeyboardInterrupt | SystemExit)
        with self._store.transaction() as transaction:
            row = transaction.run(self._run_id)
            if row.state == "running":
                row.state = "stopped" if stopped else "failed"
                row.failure = _told_as(error)
                row.ended_at = now()
                self._log(transaction, f"run-{row.state}", digest(type(error).__name__.encode()))

    def _keep(self, kind: str, signed: Sequence[Any]) -> dict[str, Summary]:
        roster = self._hospitals.roster
        summaries = {}
        for member, word in zip(roster.members, signed, strict=True):
            summary = open_summary(word, bytes.fromhex(member.public_key))
            if summary.site != member.site or summary.run_id != self._run_id:
                raise MessageRefused(f"{member.site} signed another site's or run's summary")
            summaries[member.site] = summary
        words = signed_words(dict(zip(summaries, signed, strict=True)))
        with self._store.transaction() as transaction:
            transaction.run(self._run_id).sites_json = words
            self._log(transaction, kind, digest(words.encode()))
        return summaries

    def _log(self, transaction: Transaction, kind: str, payload: str) -> None:
        entry = NewEntry(type=kind, run_id=self._run_id, payload=payload)
        transaction.log([entry], self._key)


def _told_as(error: BaseException) -> str:
    if isinstance(error, FederationError):
        return f"{type(error).__name__}: {error}"
    if isinstance(error, KeyboardInterrupt):
        return "stopped by the user"
    return type(error).__name__  # its text might hold anything


def _agreed_model(hospitals: Consortium, run_id: str) -> Tensors:
    """Returns the initial parameters, which every hospital built alike (ruling 26)."""
    proposals = told(
        {site: actor.initial_model.remote(run_id) for site, actor in hospitals.actors.items()}
    )
    models = [decode_tensors(proposal) for proposal in proposals]
    if len({model_digest(model) for model in models}) != 1:
        raise PolicyRefused(
            "the hospitals built different initial models from one seed: their software differs"
        )
    return models[0]


def environment() -> dict[str, str]:
    """Returns what this run was made with; whether torch is in this process is measured."""
    from importlib.metadata import version

    facts = {
        name: version(name)
        for name in ("torch", "monai", "opacus", "ray", "dp-accounting", "numpy", "cryptography")
    }
    facts["python"] = sys.version.split()[0]
    facts["collegium"] = version("collegium")
    facts["torch in the coordinator's process"] = "yes" if "torch" in sys.modules else "no"
    return facts
