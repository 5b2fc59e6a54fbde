"""Writes the studies that evaluate a canary, and the version in production, at its hospitals."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collegium.models.shadow_study import ShadowModel, shadow_text
from collegium.studies.authoring.template import write_study
from compliance.governance.study_store import StudyStore
from compliance.storage.atomic_file import write_named
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.governance.models.lines import line_of
from coordinator.governance.models.snapshots import signed_snapshot
from coordinator.rounds.ending.gate_facts import study_of_snapshot
from protocol.encoding import digest
from protocol.errors import FederationError, PolicyRefused, StudyRefused
from protocol.study.study import FileSplit, Study
from protocol.transport.snapshot import Snapshot
from protocol.vectors.tensors import encode_tensors

CANARY, PRODUCTION = "canary", "production"


@dataclass(frozen=True, kw_only=True)
class _Version:
    """A version to evaluate: its snapshot, its study, the bytes of its parameters."""

    role: str
    snapshot: Snapshot
    study: Study
    data: bytes

    @property
    def named(self) -> ShadowModel:
        return ShadowModel(
            role=self.role,
            file=f"{self.role}-{self.snapshot.model[:12]}.safetensors",
            sha256=digest(self.data),
            snapshot=self.snapshot.digest,
            run=self.snapshot.run,
        )


def write_shadow(out: Path, line: str, to: Path, index: Path | None = None) -> dict[str, Any]:
    """Writes ``canary.yaml`` and ``production.yaml`` with the parameters that they name.

    Args:
        out: the folder of the register.
        line: the model.
        to: a folder, new or without files of these names.
        index: the file of the split, where the study names one that is not kept in the folder.

    Returns:
        ``sites``, and under ``studies`` the file of each version by its role; production is left
        out where none is.

    Raises:
        PolicyRefused: there is no such line, or it has no canary.
        StudyRefused: a version cannot be evaluated so.
        StoreBroken: a model's file is missing or was changed.
        WorkspaceRefused: a file is there already, or cannot be written.
    """
    workspace = Workspace.open(out)
    versions: list[_Version] = []
    with closing(Store.for_reading(workspace.database)) as store, store.read() as session:
        state = line_of(session, line).state
        if state.canary is None:
            raise PolicyRefused(f"model {line} has no canary: collegium models canary begins one")
        for role, version in ((CANARY, state.canary), (PRODUCTION, state.production)):
            if version is None:
                continue
            snapshot = signed_snapshot(session, version).snapshot
            model = workspace.read_snapshot(snapshot.model)
            versions.append(
                _Version(
                    role=role,
                    snapshot=snapshot,
                    study=study_of_snapshot(session, snapshot),
                    data=encode_tensors(model),
                )
            )
    canary = versions[0].study
    texts = [shadow_text(one.study, canary, state.canary_sites, one.named) for one in versions]
    split = _split_file(out, canary, index)
    to.mkdir(parents=True, exist_ok=True)
    files = {}
    for one, text in zip(versions, texts, strict=True):
        files[one.role] = to / f"{one.role}.yaml"
        write_study(files[one.role], text)
        write_named(to / one.named.file, one.data)
    if isinstance(canary.split, FileSplit) and split is not None:
        write_named(to / canary.split.file, split)
    return {
        "model": line,
        "sites": list(state.canary_sites),
        "studies": {role: str(path) for role, path in files.items()},
        "files": {one.role: one.named.sha256 for one in versions},
    }


def _split_file(out: Path, study: Study, index: Path | None) -> bytes | None:
    """Returns the bytes of the file that a split names; None where it names none.

    Raises:
        StudyRefused: it is neither kept in the folder nor given, or is another.
    """
    if not isinstance(study.split, FileSplit):
        return None
    try:
        found = StudyStore(out / "studies").read(study.digest)[1] if index is None else None
        data = index.read_bytes() if index is not None else found
    except (FederationError, OSError):
        data = None
    if data is None:
        raise StudyRefused(
            f"{study.name} splits its patients by {study.split.file}, which is not kept in {out}: "
            "name it with --split FILE"
        )
    if study.split.sha256 is not None and digest(data) != study.split.sha256:
        raise StudyRefused(f"--split: it is not the {study.split.file} that {study.name} names")
    return data
