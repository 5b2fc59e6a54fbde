"""The manifest of a run, from its study, what its hospitals signed and where it is made.

What others signed or what follows from the study is checked again by whoever reads it; software,
platform and digests of data are what the coordinator's own software said.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from compliance.facts.dossier import CPU, GPU, DataFile, RunManifest, SiteInputs, printable
from coordinator.rounds.run_records.software import platform_here, software
from protocol.errors import StoreBroken
from protocol.study.study import PartitionBySkew, Study
from protocol.transport.privacy_summary import Summary
from protocol.vectors.tensors import Tensors, model_digest


@dataclass(frozen=True, kw_only=True)
class SimulatedInputs:
    """The inputs of a simulation that real hospitals keep to themselves.

    ``files`` are the digests of the files of records, by the names that the study gives them;
    ``records`` those of each hospital's records as they were split.
    """

    draw_seed: int | None
    workers: int
    gpu: bool
    files: Mapping[str, str] = field(default_factory=dict)
    records: Mapping[str, str] = field(default_factory=dict)


def manifest_of(
    study: Study,
    summaries: Mapping[str, Summary],
    initial: Tensors,
    simulated: SimulatedInputs | None = None,
) -> RunManifest:
    """Returns the manifest of a run that is about to begin.

    Args:
        study: what is trained.
        summaries: what the hospitals signed that have joined until now.
        initial: the parameters that training begins from.
        simulated: what is known of a simulation alone.
    """
    files = {} if simulated is None else simulated.files
    records = {} if simulated is None else simulated.records
    return RunManifest(
        study=study.digest,
        model_seed=study.seeds.model,
        split_seed=study.seeds.split,
        partition_seed=_partition_seed(study),
        draw_seed=None if simulated is None else simulated.draw_seed,
        micro_batch=study.training.micro_batch if study.trains else 0,
        workers=None if simulated is None else simulated.workers,
        device=None if simulated is None else GPU if simulated.gpu else CPU,
        initial_model=model_digest(initial),
        files=tuple(DataFile(name=printable(name), digest=files[name]) for name in sorted(files)),
        sites={
            site: SiteInputs(engine=printable(summary.engine), records=records.get(site))
            for site, summary in sorted(summaries.items())
        },
        software=software(),
        platform=platform_here(),
    )


def require_manifest(
    manifest: RunManifest, study: Study, summaries: Mapping[str, Summary], began_from: str | None
) -> None:
    """Requires a run's manifest to be about its study, its hospitals and its first round.

    Args:
        manifest: as it is kept.
        study: of the run.
        summaries: what the hospitals signed.
        began_from: the digest of the model of its first training round; None before one.

    Raises:
        StoreBroken: it says something else.
    """
    said = manifest.study, manifest.model_seed, manifest.split_seed, manifest.partition_seed
    if said != (study.digest, study.seeds.model, study.seeds.split, _partition_seed(study)):
        raise StoreBroken("its manifest is of another study, or names other seeds")
    if began_from is not None and manifest.initial_model != began_from:
        raise StoreBroken("its manifest names another first model than its first round")
    for site, inputs in manifest.sites.items():
        if site not in summaries or printable(summaries[site].engine) != inputs.engine:
            raise StoreBroken(f"its manifest names another engine than {site} signed")


def _partition_seed(study: Study) -> int | None:
    how = None if study.partition is None else study.partition.how
    return how.seed if isinstance(how, PartitionBySkew) else None
