"""The machine's part of ``silo check``: disk, memory, cores, device, confinement, TEE."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from protocol.counted import counted
from protocol.errors import DeviceRefused, FederationError, PolicyRefused, StudyRefused
from protocol.identity.machine_evidence import REPORT_DATA_BYTES
from protocol.study.cohort.cohort import ImageCohort, TableCohort
from protocol.study.study import Study
from protocol.study.task.networks.classifiers import FullyConnectedNet
from silos.config.attestation import facts_of, sev_snp
from silos.config.attestation.kernel import CERTIFICATES, INTERFACE, own_evidence
from silos.config.site_file import SiteFile
from silos.isolation.confinement import Confined
from silos.isolation.remote_trainer import TrainingMachine, machine_of
from silos.preflight.findings import Finding, bad, ok, warn

_GIB = 1 << 30
#: What the database, the log and the operating system are left with.
_SPARE_BYTES = 256 << 20
_MEND_RECIPE = (
    "mend the recipe, which is installed where collegium is: training reads no other place"
)


class StartedTrainer(Protocol):
    """A training process: what it has given up, and how it is asked (``TrainingProcess``)."""

    confined: Confined

    def ask(self, name: str, *given: Any) -> Any:
        """Returns what the trainer's method of that name returns."""

    def close(self) -> None:
        """Ends it."""


#: Starts a training process on a machine.
Start = Callable[[TrainingMachine], StartedTrainer]


def machine_findings(home: Path, site: SiteFile, study: Study, start: Start) -> Iterator[Finding]:
    """Yields what is found of disk, memory, cores, device, confinement and TEE."""
    if not study.recipes:  # whose code runs in the process that trains alone
        try:
            yield _disk(home, size_of(study), study)
        except StudyRefused as error:
            yield bad("network", str(error), "mend the study")
            return
    if site.resources.ray_address is None:
        yield from _workers_here(site)
    yield from _training(home, site, study, start)
    yield _tee(home)


def _workers_here(site: SiteFile) -> Iterator[Finding]:
    """Yields what is found of the memory and the cores that workers on this machine take."""
    available = _available_memory()
    wanted = site.resources.memory_gib * _GIB
    if available is not None:
        said = f"{available / _GIB:.1f} GiB free, {site.resources.memory_gib:g} allowed"
        yield (
            ok("memory", said)
            if available >= wanted
            else warn("memory", said, "end other programs, or lower resources.memory_gib")
        )
    cores = len(os.sched_getaffinity(0))
    asked = site.resources.workers * site.resources.threads
    said = (
        f"{counted(site.resources.workers, 'worker')} of "
        f"{counted(site.resources.threads, 'thread')} on {counted(cores, 'core')}"
    )
    if asked > cores:
        yield warn("cores", said, "lower resources.workers or threads")
    else:
        yield ok("cores", said)


def _tee(home: Path) -> Finding:
    """Returns the finding about this machine's TEE; a hospital without one passes."""
    if not INTERFACE.is_dir():
        return ok("TEE", "none: hospitals whose policy asks for one share nothing with this one")
    try:
        evidence = own_evidence(home, bytes(REPORT_DATA_BYTES))
        facts = dict(facts_of(evidence))
    except FederationError as error:
        return warn("TEE", str(error), "collegium silo attest tries again")
    if evidence.kind == sev_snp.KIND and not evidence.certificates:
        return warn(
            "TEE",
            "the host hands on no certificates of the chip's key",
            f"put vcek, ask and ark (.der or .pem) into {home / CERTIFICATES}",
        )
    return ok("TEE", f"{evidence.kind}, measurement {facts['measurement']}")


def _training(home: Path, site: SiteFile, study: Study, start: Start) -> Iterator[Finding]:
    """Yields what is found of the training process, which is started and tries what it may do."""
    try:
        process = start(machine_of(home, site.resources))
    except DeviceRefused as error:
        yield bad("Ray cluster", str(error), "docs/hospital.md, On a Ray cluster")
        return
    except FederationError as error:
        yield bad("training", str(error), "docs/hospital.md says what it needs of the kernel")
        return
    try:
        on_cluster = site.resources.ray_address is not None
        yield _confinement(process.confined, on_cluster=on_cluster)
        found = None
        if on_cluster:
            found = _cluster(process, site)
        elif site.resources.gpu:
            found = _gpu(process, site.resources.gpu_bytes)
        if found is not None:
            yield found
        if study.recipes and not all(package.is_at_hand for package in study.recipes):
            return
        if study.recipes:
            try:
                yield _disk(home, process.ask("size", study), study)
            except PolicyRefused:
                return  # the line of the recipe has said it
            except FederationError as error:
                yield bad("network", str(error), _MEND_RECIPE)
                return
        is_heavy = site.resources.gpu or isinstance(study.cohort, ImageCohort) or study.recipes
        if study.trains and is_heavy and (found is None or found.state != "bad"):
            yield _step(process, site, study)
    finally:
        process.close()


def _confinement(found: Confined, *, on_cluster: bool) -> Finding:
    said = (
        f"it {'cannot' if found.files else 'CAN'} open this hospital's folder, and "
        f"{'reaches no network' if found.network else 'REACHES the network'}"
    )
    if found.files and found.network:
        return ok("training", said)
    if on_cluster:
        return warn(
            "training",
            f"{said}, as resources.ray_address needs: who administers the Ray cluster can read "
            "the records in its memory, and run code in the process that trains",
            "use a cluster of this hospital's own that only its administrators reach "
            "(docs/hospital.md), or leave ray_address out",
        )
    return warn("training", said, "use a newer kernel (docs/hospital.md), or IPAddressDeny")


def _cluster(process: StartedTrainer, site: SiteFile) -> Finding:
    """Returns whether the hospital's Ray cluster lets its workers in, and has room for them."""
    try:
        workers, nodes = process.ask("cluster")
    except FederationError as error:
        return bad("Ray cluster", str(error), "docs/hospital.md, On a Ray cluster")
    each = ", each with a GPU," if site.resources.gpu else ""
    said = f"{counted(workers, 'worker')}{each} found room on {counted(nodes, 'node')}"
    return ok("Ray cluster", f"{said}; every node has this machine's software")


def _gpu(process: StartedTrainer, max_bytes: int | None) -> Finding:
    try:
        name, free, whole = process.ask("gpu")
    except FederationError as error:
        return bad("GPU", str(error), "docs/hospital.md, With a GPU; or set resources.gpu: false")
    said = f"{name}, {free / _GIB:.1f} of {whole / _GIB:.1f} GiB free"
    if max_bytes is not None and free < max_bytes:
        said += f", and training may hold {max_bytes / _GIB:.1f}"
        return warn("GPU", said, "end other programs on it, or lower resources.gpu_memory_gib")
    return ok("GPU", said)


def _step(process: StartedTrainer, site: SiteFile, study: Study) -> Finding:
    """Returns whether a training step of the study fits into this hospital's memory."""
    try:
        engine, places, records = process.ask("try_step", study, site.name)
    except FederationError as error:
        return bad("step", str(error), "give training more memory (resources), or another study")
    varied = study.task.augmentation
    copies = f", counting {varied.copies} of each image," if varied and varied.copies > 1 else ""
    said = (
        f"{counted(places, 'patient')} with {counted(records, 'record')} each{copies} fit at once"
    )
    return ok("step", f"{said}; gradients by {engine!r}")


def _disk(home: Path, parameters: int, study: Study) -> Finding:
    """Returns the finding about disk space: masked vectors, some models, and something to spare."""
    vector = 8 * parameters
    needed = vector * (study.aggregation.attempts + 3) + _SPARE_BYTES
    free = shutil.disk_usage(home).free
    said = f"{free / _GIB:.1f} GiB free, about {needed / _GIB:.1f} needed"
    if free < needed:
        return bad("disk", said, f"free space where {home} lies: a full disk stops the ledger")
    if free < 2 * needed:
        return warn("disk", said, f"free space where {home} lies")
    return ok("disk", said)


def size_of(study: Study) -> int:
    """Returns how many parameters the study's network has; a recipe's is not built here."""
    if not study.trains:
        return 0
    network = study.task.network
    frozen = study.task.is_partly_frozen
    if (
        isinstance(network, FullyConnectedNet)
        and isinstance(study.cohort, TableCohort)
        and not frozen
    ):
        outputs = study.task.outputs(study.cohort.label)
        widths = (study.cohort.width, *network.hidden_channels, outputs)
        return sum((before + 1) * after for before, after in zip(widths, widths[1:], strict=False))
    from pipelines.networks.networks import num_parameters

    return num_parameters(study)


def _available_memory() -> int | None:
    """Bytes that programs could still take, or None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None
