"""The place where a model scores: its files, and the hospital whose statements and log count."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from pipelines.sources.source import Source
from protocol.errors import PolicyRefused
from silos.config.folder import require_hospital
from silos.config.site_file import SiteFile, site_file_of, source_of
from silos.results.inference.model_places import model_of_folder, model_of_run, trusted_keys
from silos.results.inference.query_log import QueryLog
from silos.results.inference.scoring_model import ScoringModel
from silos.results.serving import LoadedModel, ServingLog, serving_log_of, snapshot_of_run


@dataclass(frozen=True, kw_only=True)
class ModelPlace:
    """A model as a person names it: an exported folder, or a run that a hospital keeps.

    Attributes:
        folder: that ``collegium models export`` wrote; None where a kept run is meant.
        home: the hospital's folder; None without one.
        run: the run that the hospital keeps.
        own: whether the hospital's own model of that run is meant.
        key: the public key (32 bytes) that is trusted as the coordinator's.
    """

    folder: Path | None = None
    home: Path | None = None
    run: str | None = None
    own: bool = False
    key: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class ScoringPlace:
    """A model that is ready, and the hospital that it scores for.

    Attributes:
        model: ready to score.
        site: the hospital's name, for messages.
        source: the hospital's own source; None without one.
        log: the hospital's log of queries; None without a hospital's folder.
        records_a_day: that the hospital declares.
        loaded: what the hospital's log of serving says of the model.
        serving_log: that log; None without a hospital's folder.
    """

    model: ScoringModel
    site: str
    source: Source | None
    log: QueryLog | None
    records_a_day: int
    loaded: LoadedModel
    serving_log: ServingLog | None

    def serving(self, use: str) -> AbstractContextManager[None]:
        """Writes into the hospital's log that the model serves while the block lasts.

        Raises:
            WorkspaceRefused, StoreBroken: the log cannot be used; then nothing is scored.
        """
        if self.serving_log is None:
            return nullcontext()
        return self.serving_log.serving(self.loaded, use)


def scoring_place(named: ModelPlace) -> ScoringPlace:
    """Loads a model, held to what was signed, and opens the hospital's log of queries.

    Raises:
        PolicyRefused: neither a folder nor a run is named, or both; see ``model_of_run``.
        SiteFileRefused, WorkspaceRefused: the hospital's folder cannot be used.
        FederationError: the model cannot be used; see ``model_of_folder`` and ``model_of_run``.
    """
    if (named.folder is None) == (named.run is None) or (named.run and named.home is None):
        raise PolicyRefused(
            "name the model: a folder that collegium models export wrote, or a run that a hospital "
            "keeps (--home FOLDER --run RUN); one of the two"
        )
    if named.own and named.run is None:
        raise PolicyRefused("--own is of a run that the hospital keeps: name it with --run")
    site = None if named.home is None else _site(named.home)
    if named.run is not None and named.home is not None and site is not None:
        model = model_of_run(named.home, site, named.run, own=named.own)
    else:
        model = model_of_folder(named.folder or Path(), _trusted(named), site=site, home=named.home)
    return ScoringPlace(
        model=model,
        site="here" if site is None else site.name,
        source=_source(named.home, site),
        log=None if named.home is None else QueryLog(named.home),
        records_a_day=0 if site is None else site.inference.records_a_day,
        loaded=_loaded(named, model),
        serving_log=None if named.home is None else serving_log_of(named.home),
    )


def _loaded(named: ModelPlace, model: ScoringModel) -> LoadedModel:
    """Returns what is logged of a model: of a kept run the snapshot that this hospital signed."""
    snapshot, source = model.snapshot, f"folder {(named.folder or Path()).resolve().name}"
    if named.run is not None and named.home is not None:
        snapshot = None if named.own else snapshot_of_run(named.home, model.run)
        source = f"the hospital's {'own ' if named.own else ''}model of a run that it keeps"
    return LoadedModel(snapshot=snapshot, model=model.digest, run=model.run, source=source)


def _site(home: Path) -> SiteFile:
    require_hospital(home)
    return site_file_of(home)


def _trusted(named: ModelPlace) -> set[bytes]:
    if named.key is not None:
        return {named.key}
    return set() if named.home is None else trusted_keys(named.home)


def _source(home: Path | None, site: SiteFile | None) -> Source | None:
    if home is None or site is None or site.data is None:
        return None
    return source_of(site, home)
