"""Simulates a consortium on one machine: a local Ray, one actor per hospital.

The same state machines and the same bytes as between real hospitals; only the
link differs. Each run's coordinator is torch-free: the driver's process for a
single run, a Ray task for a run of a sweep.
"""

import json
import logging
import math
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from rich.console import Console

from collegium.exact import exact_figures
from collegium.pricing import DEFAULT_BUDGET, budget_for
from collegium.progress import Progress, Silent
from compliance.audit_log import NewEntry
from coordinator.ray_link import RayLink
from coordinator.runner import Outcome, Runner, Watcher
from coordinator.store import RunRow, Store, Transaction, now
from coordinator.workspace import Workspace
from protocol import errors
from protocol.encoding import digest
from protocol.errors import (
    CohortRefused,
    FederationError,
    MessageRefused,
    PolicyRefused,
    StudyRefused,
    WorkspaceRefused,
)
from protocol.identity import Member, Roster
from protocol.study import BUNDLED, FileSplit, LocalPrivacy, Study
from protocol.summary import Summary, open_summary, signed_words
from protocol.tensors import Tensors, decode_tensors, model_digest
from silos.actor import Refused, SiloActor
from silos.invitation import Invitation

DEFAULT_DELTA = 1e-5


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a simulation is told beside the study.

    Raises:
        WorkspaceRefused: the budget is not a number above zero.
    """

    data: Path | None = None
    budget: float | None = None
    test_noise: bool = False

    def __post_init__(self) -> None:
        if self.budget is not None and not 0 < self.budget < math.inf:
            raise WorkspaceRefused(f"--budget {self.budget:g}: give a number above zero")

    def require_sources(self, study: Study) -> None:
        """Refuses at once what would otherwise be found only when the hospitals have started.

        Raises:
            CohortRefused: ``--data`` or a file in it is missing.
        """
        named = [study.deal.records] if study.deal else [site.records for site in study.sites]
        files = [name for name in named if name is not None and name != BUNDLED]
        if files and self.data is None:
            raise CohortRefused(f"--data is missing: name the folder that holds {files[0]}")
        for name in files:
            if self.data is not None and not (self.data / name).is_file():
                raise CohortRefused(f"--data {self.data} holds no file {name}")


@dataclass(frozen=True, kw_only=True)
class Consortium:
    """The simulated hospitals and what they have in common; small enough to hand to a task."""

    root: Path
    actors: Mapping[str, Any]
    roster: Roster
    data: Path | None
    test_noise: bool


def simulate_study(
    study: Study, folder: Path, out: Path, settings: Settings, console: Console
) -> dict[str, Any]:
    """Runs one study in a new output folder; returns the run's JSON.

    Raises:
        FederationError: see the tree; nothing that was finished is lost.
    """
    from collegium.show import finish_folder, summarise

    settings.require_sources(study)
    index = index_file(study, folder)
    priced = with_budget(settings, budget_for([study]))
    with fresh_workspace(out) as workspace, Progress(console, study) as progress:
        progress.say("starting the hospitals")
        with consortium(workspace, study, priced) as hospitals:
            run_id = run_study(hospitals, study, index, new_run_id(), None, progress)
    result = finish_folder(workspace, run_id)
    summarise(result, workspace, console)
    return result


@contextmanager
def fresh_workspace(out: Path) -> Iterator[Workspace]:
    """Yields a new output folder, at work; takes it away again if nothing was ever begun in it.

    A study that was refused before its first round leaves nothing behind, so
    the same command can be given again when the mistake is mended.
    """
    existed = out.exists()
    workspace = Workspace.create(out)
    try:
        with workspace.at_work():
            yield workspace
    except FederationError:
        store = Store(workspace.database)
        begun = store.has_rounds()
        store.close()
        if not begun:
            workspace.discard(keep_folder=existed)
        raise


@contextmanager
def consortium(workspace: Workspace, study: Study, settings: Settings) -> Iterator[Consortium]:
    """Starts Ray and one hospital per site, and ends both when the block ends."""
    Store(workspace.database).close()  # made and migrated before anybody needs it
    start_ray()
    try:
        actors = {
            site: SiloActor.remote(site, workspace.silos.resolve() / site)  # type: ignore[attr-defined]
            for site in study.site_names
        }
        delta = study.privacy.delta if isinstance(study.privacy, LocalPrivacy) else DEFAULT_DELTA
        budget = settings.budget or DEFAULT_BUDGET
        members: list[Member] = told(
            {
                site: actor.open.remote(budget, delta, simulated_split_key(study, site))
                for site, actor in actors.items()
            }
        )
        for actor in actors.values():
            actor.warm_up.remote()
        yield Consortium(
            root=workspace.root.resolve(),
            actors=actors,
            roster=Roster(members=tuple(sorted(members, key=lambda member: member.site))),
            data=settings.data.resolve() if settings.data else None,
            test_noise=settings.test_noise,
        )
    finally:
        ray.shutdown()


def simulated_split_key(study: Study, site: str) -> bytes:
    """Returns what stands for a hospital's own secret key: it follows the public split seed."""
    secret = f"split/{study.seeds.split}/{site}".encode()
    return bytes.fromhex(digest(secret))


def start_ray() -> None:
    """Starts a Ray that is this machine's own: loopback only, no dashboard, no telemetry."""
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    ray.init(
        address="local",
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        object_store_memory=256 * 1024 * 1024,
        # A task that waits gives its CPU back, and more would start; these it keeps.
        resources={"coordinator": os.cpu_count() or 1, "exact figures": 1},
    )
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _stop)  # Ray's own handler would end us without a word


def _stop(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def told(references: Mapping[str, Any]) -> list[Any]:
    """Returns what every hospital said, or raises the first refusal with its reason.

    A simulation sits inside every hospital, so it may read the reason.
    """
    answers = dict(zip(references, ray.get(list(references.values())), strict=True))
    refusals = [answer for answer in answers.values() if isinstance(answer, Refused)]
    if refusals:
        reasons = list(dict.fromkeys(refusal.reason for refusal in refusals))
        more = f" (and {len(reasons) - 2} more sites)" if len(reasons) > 2 else ""
        raise as_error(refusals[0].kind)("\n".join(reasons[:2]) + more)
    return list(answers.values())


def as_error(kind: str) -> type[FederationError]:
    """Returns the class of the error tree that has this name."""
    found = getattr(errors, kind, FederationError)
    return (
        found if isinstance(found, type) and issubclass(found, FederationError) else FederationError
    )


def new_run_id() -> str:
    """Returns a run's name: its time and four random digits, so that names sort by time."""
    stamp = now()[:19].replace("-", "").replace(":", "").replace("T", "-")
    return f"{stamp}-{os.urandom(2).hex()}"


def index_file(study: Study, folder: Path) -> bytes | None:
    """Returns the bytes of the split's index file, which lies beside the study document.

    Raises:
        StudyRefused: the study names one and it cannot be read.
    """
    if not isinstance(study.split, FileSplit):
        return None
    path = folder / study.split.file
    try:
        return path.read_bytes()
    except OSError as error:
        raise StudyRefused(f"split.file: {path} cannot be read: {error.strerror}") from error


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
        invitation = Invitation(
            run_id=self._run_id,
            study=self._study,
            roster=self._hospitals.roster,
            coordinator_public=workspace.public_key(),
            data=self._hospitals.data,
            index_file=index,
            fixed_noise_seed=self._study.seeds.model if self._hospitals.test_noise else None,
        )
        actors = self._hospitals.actors
        signed = told({site: actor.join.remote(invitation) for site, actor in actors.items()})
        return self._keep("approvals", signed)

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


def with_budget(settings: Settings, budget: float) -> Settings:
    """Returns the settings with a budget, unless one was given."""
    return settings if settings.budget is not None else replace(settings, budget=budget)


SILENT: Watcher = Silent()
