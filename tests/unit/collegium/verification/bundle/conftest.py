"""One folder with two finished runs, and its bundle, for all tests of this room."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from collegium.verification.bundle.export import export_bundle
from collegium.verification.bundle.packing import BundleManifest
from coordinator.database.workspace import Workspace
from tests.support.simulated.output_folder import kept_note, make_folder


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A folder, its bundle, the newest head as a hospital keeps it, and the log's key."""

    folder: Path
    bundle: Path
    manifest: BundleManifest
    note: Path

    @property
    def key(self) -> bytes:
        """The log's public key."""
        return Workspace.open(self.folder).public_key()


@pytest.fixture(scope="package")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    place = tmp_path_factory.mktemp("evidence")
    folder, bundle, note = make_folder(place), place / "bundle.zip", place / "east.note"
    note.write_bytes(kept_note(folder))
    manifest = export_bundle(folder, bundle)
    return Evidence(folder=folder, bundle=bundle, manifest=manifest, note=note)
