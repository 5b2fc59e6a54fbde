"""Writes a run's crate: a whole folder, or nothing."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collegium.models.exports.signed_files import digests_in
from collegium.models.exports.verifying import verify_export
from collegium.models.publication.crate.agents import NAMED
from collegium.models.publication.crate.entity import METADATA
from collegium.models.publication.crate.evidence import CrateEvidence, run_evidence
from collegium.models.publication.crate.files import CrateFile, crate_files
from collegium.models.publication.crate.metadata import CrateTerms, crate_metadata
from collegium.models.publication.crate.verifying import verify_crate
from compliance.storage.new_folder import new_folder, require_new
from protocol.encoding import digest
from protocol.errors import MessageRefused, WorkspaceRefused

_ENCODINGS = {
    ".json": "application/json",
    ".md": "text/markdown",
    ".pub": "application/x-pem-file",
    ".sig": "application/json",
    ".tlog": "text/plain",
}
_OTHER = "application/octet-stream"


@dataclass(frozen=True, kw_only=True)
class CrateRequest:
    """A run of which a crate is made, and where to.

    Attributes:
        run: the run's name, or its beginning.
        to: the new folder.
        model: a folder that ``models export`` wrote of the run's model; None leaves the parameters
            out, and the signed snapshot stands for the model.
        terms: what the folder does not say.
    """

    run: str
    to: Path
    model: Path | None = None
    terms: CrateTerms = field(default_factory=CrateTerms)


#: Logs that a run of this name is exported, with details; returns what ``--json`` shows of it.
Recording = Callable[[str, Mapping[str, str | bool | None]], dict[str, Any]]


def write_crate(out: Path, asked: CrateRequest, record: Recording | None) -> dict[str, Any]:
    """Writes a crate; returns what ``--json`` shows.

    Args:
        out: a simulation's or a coordinator's folder.
        asked: the run, and where to.
        record: logs the export before it is written; None of a folder that was made for a crate
            just now, which nobody else knows.

    Raises:
        PolicyRefused: people are registered here, and none of them exports it.
        WorkspaceRefused: there is no such run, it is not over, or the folder cannot be written.
        StoreBroken: the records are not what was logged.
        MessageRefused: a signature is wrong, or the exported model is another run's.
    """
    require_new(asked.to)  # before an export of it is logged
    with run_evidence(out, asked.run) as found:
        _require_named(asked.terms, found)
        held = (*crate_files(found), *_model_files(found, asked.model))
        described = crate_metadata(found, held, asked.terms)
        run, public = found.dossier.run_id, found.public
    details = {"format": "ro-crate", "kind": "crate", "run": run, "sha256": digest(described)}
    recorded = {} if record is None else record(run, details)
    contents = {METADATA: described} | {one.path: one.data for one in held}
    _write(asked.to, contents)
    return {
        "folder": str(asked.to),
        "run": run,
        "sha256": digest(described),
        "files": len(contents),
        **recorded,
        "checked": verify_crate(asked.to, public),
    }


def _require_named(terms: CrateTerms, found: CrateEvidence) -> None:
    known = {*NAMED, *(site.site for site in found.dossier.sites)}
    for name, url in terms.urls.items():
        if name not in known:
            raise WorkspaceRefused(f"--url {name}: name one of {', '.join(sorted(known))}")
        if not url.startswith(("https://", "http://")):
            raise WorkspaceRefused(f"--url {name}: {url} is no web address")


def _model_files(found: CrateEvidence, folder: Path | None) -> Iterator[CrateFile]:
    """Yields the files of an exported model, once the export was verified."""
    if folder is None:
        return
    told = verify_export(folder, found.public)
    if told["run"] != found.dossier.run_id:
        raise MessageRefused(
            f"--model {folder} is an export of run {told['run']}, not of {found.dossier.run_id}"
        )
    for name in digests_in(folder):
        path = folder / name
        yield CrateFile(
            path=f"model/{name}",
            data=path.read_bytes(),
            name=name,
            description=f"{name} of the exported model; collegium models verify model checks it.",
            encoding=_ENCODINGS.get(path.suffix, _OTHER),
        )


def _write(to: Path, contents: dict[str, bytes]) -> None:
    with new_folder(to) as draft:
        for name, data in contents.items():
            path = draft / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
