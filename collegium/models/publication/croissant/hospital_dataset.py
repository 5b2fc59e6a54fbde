"""The description of a hospital's own records for a study, which stays in the hospital."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from collegium.models.publication.croissant.column_fields import record_sets
from collegium.models.publication.croissant.dataset import DatasetTerms, study_dataset
from protocol.errors import CohortRefused
from protocol.study.study import Study
from silos.config.directory import opened
from silos.patients.frozen_cohorts import FrozenCohort, FrozenCohorts

#: The media type of a file of records, by the end of its name.
_MEDIA = {
    ".csv": "text/csv",
    ".npz": "application/zip",
    ".parquet": "application/vnd.apache.parquet",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_FILE, _OTHER = "records-file", "application/octet-stream"


def hospital_dataset(home: Path, study: Study, terms: DatasetTerms) -> dict[str, Any]:
    """Returns the description of the cohort that a hospital froze for a study.

    The file's digest is of few records and could be guessed: the description stays here.

    Args:
        home: the hospital's folder.
        study: the study, for which it froze a cohort.
        terms: what the study does not say.

    Raises:
        CohortRefused: no cohort is frozen for this study here.
        SiteFileRefused, StoreBroken: the folder cannot be read.
    """
    with opened(home) as (site, hospital):
        frozen = FrozenCohorts(hospital).newest(study.digest)
    if frozen is None:
        raise CohortRefused(
            f"no cohort is frozen for study {study.name} here: collegium silo freeze STUDY "
            f"--home {home} first, whose digest is described"
        )
    described = study_dataset(study, replace(terms, published=frozen.frozen_at[:10]))
    return described | {
        "name": f"{study.name}-{site.name}",
        "description": f"{study.title}. The records of {site.name}, {frozen.words}. This "
        "description holds the digest of the file: it stays in the hospital.",
        "creator": [{"@type": "sc:Organization", "name": site.name}],
        "version": f"{frozen.version}.0.0",
        "identifier": f"cohort:{frozen.public_id}",
        **_files(study, frozen),
    }


def _files(study: Study, frozen: FrozenCohort) -> dict[str, Any]:
    """Returns file and records where they were read from one file, whose digest is known."""
    if frozen.source.kind != "file":
        return {}
    return {
        "distribution": [_file(frozen)],
        "recordSet": record_sets(study, {"fileObject": {"@id": _FILE}}),
    }


def _file(frozen: FrozenCohort) -> dict[str, Any]:
    source = frozen.source
    return {
        "@type": "cr:FileObject",
        "@id": _FILE,
        "name": source.name,
        "description": "The file of records, in the hospital alone.",
        "contentUrl": quote(source.name),
        "encodingFormat": _MEDIA.get(Path(source.name).suffix.lower(), _OTHER),
        "sha256": source.sha256,
    }
