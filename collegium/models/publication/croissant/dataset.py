"""The description of a study's cohort, of which no record is in anybody's hands."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collegium.models.publication.croissant.column_fields import record_sets
from collegium.models.publication.croissant.context import CONTEXT
from collegium.models.publication.croissant.responsible_use import responsible_use
from compliance.storage.atomic_file import FOR_ALL, OWNER_ONLY, write_whole
from protocol.encoding import digest
from protocol.errors import WorkspaceRefused
from protocol.study.cohort.cohort import ImageCohort
from protocol.study.study import Study

#: The specifications that a description conforms to.
CROISSANT, RAI = "http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"
_FILES = "files-of-hospitals"
_NO_LICENCE = (
    "The records are not offered under a licence: they stay in each hospital, which decides by its "
    "own policy whether a study may use them."
)


@dataclass(frozen=True, kw_only=True)
class DatasetTerms:
    """Terms of a data set that no study says.

    Attributes:
        published: the day (``2026-01-31``) of the description.
        url: its page; the digest of the study stands for it (RFC 6920) where there is none.
        licence: of the records; that they are not offered where it is empty.
    """

    published: str
    url: str = ""
    licence: str = ""


def study_dataset(study: Study, terms: DatasetTerms) -> dict[str, Any]:
    """Returns the description of the cohort that a study declares, at all its hospitals.

    ``distribution`` is a set of files of which none is handed out: it has no address and no digest.
    """
    sites = [{"@type": "sc:Organization", "name": site.name} for site in study.sites]
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "name": f"{study.name}-cohort",
        "description": f"{study.title}. The records of {len(study.sites)} hospitals, by one "
        "contract; each hospital keeps its own, and no file of them is handed out.",
        "conformsTo": [CROISSANT, RAI],
        "license": terms.licence or _NO_LICENCE,
        "url": terms.url or named_by_digest(study.digest),
        "creator": sites,
        "datePublished": terms.published,
        "identifier": f"sha256:{study.digest}",
        "conditionsOfAccess": "Restricted: each hospital decides, study by study.",
        "isAccessibleForFree": False,
        "distribution": [_files(study)],
        "recordSet": record_sets(study, {"fileSet": {"@id": _FILES}}),
        **responsible_use(study),
    }


def _files(study: Study) -> dict[str, Any]:
    images = isinstance(study.cohort, ImageCohort)
    return {
        "@type": "cr:FileSet",
        "@id": _FILES,
        "name": _FILES,
        "description": "The hospitals' own files, each in its hospital alone.",
        "encodingFormat": "application/zip" if images else "text/csv",
        "includes": "*",
    }


def croissant_bytes(dataset: dict[str, Any]) -> bytes:
    """Returns a description as a file's bytes."""
    return (json.dumps(dataset, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def write_dataset(to: Path, dataset: dict[str, Any], *, private: bool = False) -> dict[str, Any]:
    """Writes a description to a file; returns what ``--json`` shows.

    Args:
        to: the file.
        dataset: the description.
        private: for the owner of the file alone.

    Raises:
        WorkspaceRefused: it cannot be written.
    """
    data = croissant_bytes(dataset)
    try:
        write_whole(to, data, mode=OWNER_ONLY if private else FOR_ALL)
    except OSError as error:
        raise WorkspaceRefused(f"--to {to} cannot be written: {error.strerror}") from error
    fields = [field for records in dataset["recordSet"] for field in records["field"]]
    return {"file": str(to), "sha256": digest(data), "fields": len(fields)}


def named_by_digest(sha256: str) -> str:
    """Returns the URI that names bytes by their SHA-256 (RFC 6920).

    >>> named_by_digest("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    'ni:///sha-256;47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU'
    """
    named = base64.urlsafe_b64encode(bytes.fromhex(sha256)).decode().rstrip("=")
    return f"ni:///sha-256;{named}"
