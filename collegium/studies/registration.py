"""Registers a study with the coordinator: document, index file, and a line in the log."""

from pathlib import Path

from compliance.governance.study_store import StudyStore
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from protocol.errors import WorkspaceRefused
from protocol.study.study import Study
from protocol.study.study_file import index_beside, read_study, read_text


def register_study(path: Path, home: Path) -> tuple[Study, bool]:
    """Keeps a study in the coordinator's folder; returns it and whether it was new.

    The document as written and its index file lie in ``DIR/studies/<digest>``,
    its canonical bytes in the database.

    Raises:
        StudyRefused: the document or its index file is wrong.
        WorkspaceRefused: the folder holds no coordinator.
    """
    text = read_text(path)
    study = read_study(text, str(path))
    if not (home / "coordinator.key").is_file():
        raise WorkspaceRefused(
            f"--home {home} holds no coordinator: collegium coordinator init makes one"
        )
    workspace = Workspace(home)
    key = workspace.signing_key()
    StudyStore(home / "studies").keep(text, index_beside(study, path.parent))
    store = Store(workspace.database)
    try:
        with store.transaction() as transaction:
            new = transaction.register(study)
            if new:
                transaction.log(new, key)
    finally:
        store.close()
    return study, bool(new)
