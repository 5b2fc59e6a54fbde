"""A simulated run that ended as runs end: joined, trained, evaluated, settled and logged."""

from collections.abc import Callable
from pathlib import Path

from coordinator.rounds.run_records import RunRecord, manifest_of
from protocol.study.study import Study
from protocol.vectors.tensors import decode_tensors
from silos.rounds.participation import LocalTrainer
from tests.support.simulated.federation import Federation, LinearTrainer, write_hospitals

RUN = "run-1"


def make_finished(
    folder: Path,
    study: Study,
    *,
    seed: int | None = None,
    trainer: Callable[..., LocalTrainer] = LinearTrainer,
    write: Callable[[Path, Study], None] = write_hospitals,
) -> Path:
    """Runs a study once; returns the output folder.

    Args:
        folder: for the records and the output folder.
        study: the study.
        seed: of fixed test noise; secret noise where it is None.
        trainer: what each hospital computes with.
        write: writes the hospitals' records.
    """
    folder.mkdir(parents=True, exist_ok=True)
    federation = Federation(folder, study, fixed_noise=seed, trainer=trainer, write=write)
    key = federation.workspace.signing_key()
    record = RunRecord(federation.store, key, federation.roster, study, RUN)
    record.begin(sweep=None, simulation=True, test_noise=seed is not None)
    words = {site: silo.join(federation.invitation) for site, silo in federation.silos.items()}
    summaries = record.keep("approvals", words)
    first = next(iter(federation.silos.values()))
    initial = decode_tensors(first.initial_model(RUN))
    record.describe(manifest_of(study, summaries, initial, federation.inputs))
    outcome = federation.runner(summaries).run(initial)
    ended = {site: silo.leave(RUN) for site, silo in federation.silos.items()}
    record.keep("settlements", ended)
    figures = {"auroc": 0.9, "accuracy": 0.8}
    counted = figures | {"train_patients": 28, "test_patients": 12}
    record.finish(outcome, figures | {"sites": {site: counted for site in federation.silos}})
    federation.close()
    return federation.workspace.root
