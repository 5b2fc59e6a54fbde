"""A trainer whose gradients are computed by the workers that a hospital has."""

from dataclasses import replace

from pipelines.records import Records
from protocol.study.study import Study
from silos.training.counting.column_trainer import ColumnTrainer
from silos.training.counting.model_evaluator import ModelEvaluator
from silos.training.counting.monitoring_trainer import MonitoringTrainer
from silos.training.ray_runtime import limit_memory, ray
from silos.training.steps.step_form import StepForm
from silos.training.trainer import Trainer, try_step
from silos.training.worker_pool.backend import RayBackend, device_of
from silos.training.worker_pool.placement import Placement, results_of
from silos.training.worker_pool.shares import WorkerShares


def trainer_on(
    shares: WorkerShares, study: Study, site: str, train: Records, test: Records
) -> Trainer | ColumnTrainer | ModelEvaluator:
    """Returns a site's trainer; see ``Trainer`` and ``RayBackend``.

    Where nothing is trained: see ``ColumnTrainer`` and ``ModelEvaluator``.
    """
    if study.calendar is not None:
        return MonitoringTrainer(study, site, train, test)
    if not study.has_model:
        return ColumnTrainer(study, site, train, test)
    if not study.trains:
        return ModelEvaluator(study, site, train, test, device_of(shares))
    form = StepForm.of(study, site)
    backend = RayBackend(study, form, train.features, train.labels, shares)
    return Trainer(study, site, train, test, backend, device_of(shares))


def try_step_on(shares: WorkerShares, study: Study, site: str) -> tuple[str, int, int]:
    """Tries a step where it would be computed; see ``try_step``.

    Raises:
        DeviceRefused: as ``try_step``, and where the cluster has no room for the workers.
    """
    if not shares.cluster:
        return try_step(study, site, device_of(shares))
    placement = Placement(shares)
    task = _try_step.options(**placement.options(0))
    engine, places, records = results_of(task.remote(shares, study, site))
    return engine, places, records


@ray.remote(max_retries=0)
def _try_step(shares: WorkerShares, study: Study, site: str) -> tuple[str, int, int]:
    limit_memory(shares.max_bytes)
    return try_step(study, site, device_of(replace(shares, count=1, cluster=False)))
