"""One run on started hospitals: who joined, what came out, how it ended, all written down.

This is what a sweep's Ray task imports, so it stays light: no torch, no accounting.
"""

import os
import secrets
from collections.abc import Mapping
from dataclasses import replace
from hashlib import file_digest

from collegium.output.progress import Silent
from collegium.simulation.consortium import Consortium, results_of
from collegium.simulation.exact import exact_figures
from collegium.simulation.settings import record_files, simulated_split_key
from coordinator.database.own_statements import statements_of
from coordinator.database.round_archive import RoundArchive
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.delivery.ray_link import RayLink
from coordinator.rounds.run_records import RunRecord, SimulatedInputs, manifest_of
from coordinator.rounds.training import Runner, RunStores, Watcher
from protocol.encoding import digest
from protocol.errors import FederationError, PolicyRefused
from protocol.study.privacy import NoPrivacy
from protocol.study.study import FileSplit, Study
from protocol.transport.privacy_summary import SignedSummary
from protocol.vectors.tensors import Tensors, decode_tensors, model_digest
from silos.rounds.invitation import Invitation
from silos.rounds.openings.rollback_evidence import SignedLedgerHeads, read_signed_heads
from silos.training.ray_runtime import here, ray

SILENT: Watcher = Silent()
#: Seeds of draws lie below it, as a study's seeds do.
_SEEDS = 2**53


def run_study(
    hospitals: Consortium,
    study: Study,
    index: bytes | None,
    run_id: str,
    sweep: str | None,
    watcher: Watcher,
) -> str:
    """Runs one study on started hospitals, recording everything; returns the run's id."""
    workspace = Workspace.open(hospitals.root)
    store, key = Store(workspace.database), workspace.signing_key()
    record = RunRecord(store, key, hospitals.roster, study, run_id)
    draw_seed = _draw_seed(hospitals, study)
    try:
        record.begin(sweep=sweep, simulation=True, test_noise=hospitals.test_noise)
        common = Invitation(
            run_id=run_id,
            study=study,
            roster=hospitals.roster,
            coordinator_public=workspace.public_key(),
            data=hospitals.data,
            index_file=index,
            fixed_noise_seed=draw_seed,
        )
        summaries = record.keep("approvals", _join(hospitals, store, common))
        runner = Runner(
            run_id=run_id,
            study=study,
            roster=hospitals.roster,
            key=key,
            summaries=summaries,
            stores=RunStores(
                store=store, snapshots=workspace, rounds=RoundArchive(workspace.rounds)
            ),
            link=RayLink(hospitals.actors),
            threads=os.cpu_count() or 1,
            watcher=watcher,
        )
        initial = _agreed_model(hospitals, run_id)
        inputs = SimulatedInputs(
            draw_seed=draw_seed,
            workers=hospitals.shares.count,
            gpu=hospitals.shares.gpu,
            files=_files(hospitals, study, index),
            records=_records(hospitals, run_id),
        )
        record.describe(manifest_of(study, summaries, initial, inputs))
        outcome = runner.run(initial)
        exact = ray.get(
            exact_figures.options(scheduling_strategy=here()).remote(
                dict(hospitals.actors), run_id, study, dict(outcome.model)
            )
        )
        record.keep("settlements", _leave(hospitals, run_id))
        record.finish(outcome, exact)
        runner.cover_log()
    except BaseException as error:  # also Ctrl-C: the run's state is written, then it goes on
        leaving = [actor.ask("leave", run_id) for actor in hospitals.actors.values()]
        ray.wait(leaving, num_returns=len(leaving))
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


def _draw_seed(hospitals: Consortium, study: Study) -> int | None:
    """Returns what a run draws its batches from, and fixed test noise; None: from secret keys.

    Without privacy nothing is secret about who was drawn, and the seed is kept with the run.
    """
    if hospitals.test_noise:
        return study.seeds.model
    if not isinstance(study.privacy, NoPrivacy):
        return None
    return secrets.randbelow(_SEEDS) if hospitals.draw_seed is None else hospitals.draw_seed


def _files(hospitals: Consortium, study: Study, index: bytes | None) -> Mapping[str, str]:
    """Returns the digests of the files that the hospitals read, by their names in the study."""
    found = {}
    if hospitals.data is not None:
        for name in record_files(study):
            with (hospitals.data / name).open("rb") as file:
                found[name] = file_digest(file, "sha256").hexdigest()
    if index is not None and isinstance(study.split, FileSplit):
        found[study.split.file] = digest(index)
    return found


def _records(hospitals: Consortium, run_id: str) -> Mapping[str, str]:
    """Returns the digest of each hospital's records, as they were split."""
    asked = {site: actor.ask("dataset_digest", run_id) for site, actor in hospitals.actors.items()}
    return dict(zip(asked, results_of(asked), strict=True))


def _join(hospitals: Consortium, store: Store, common: Invitation) -> dict[str, SignedSummary]:
    """Lets every hospital approve, check its records and reserve; returns its signed summary."""
    signed_heads = _signed_heads(store, hospitals)
    asked = {
        site: actor.ask(
            "join",
            replace(
                common,
                signed_heads=signed_heads[site],
                split_key=simulated_split_key(common.study, site),
            ),
        )
        for site, actor in hospitals.actors.items()
    }
    return dict(zip(asked, results_of(asked), strict=True))


def _leave(hospitals: Consortium, run_id: str) -> dict[str, SignedSummary]:
    """Settles every ledger; returns each hospital's signed account."""
    asked = {site: actor.ask("leave", run_id) for site, actor in hospitals.actors.items()}
    return dict(zip(asked, results_of(asked), strict=True))


def _signed_heads(store: Store, hospitals: Consortium) -> dict[str, SignedLedgerHeads]:
    """Returns what each hospital signed about its ledger in the newest runs."""
    with store.read() as session:
        return {site: read_signed_heads(statements_of(session, site)) for site in hospitals.actors}


def _agreed_model(hospitals: Consortium, run_id: str) -> Tensors:
    """Returns the initial parameters, which every hospital built alike."""
    proposals = results_of(
        {site: actor.ask("initial_model", run_id) for site, actor in hospitals.actors.items()}
    )
    models = [decode_tensors(proposal) for proposal in proposals]
    if len({model_digest(model) for model in models}) != 1:
        raise PolicyRefused(
            "the hospitals built different initial models from one seed: their software differs"
        )
    return models[0]
