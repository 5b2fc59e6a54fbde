"""Registers a study with the coordinator: document, index file, and a line in the log."""

from pathlib import Path

from compliance.facts.dossier.preregistration import require_releasable
from compliance.governance.acts import ActRequest
from compliance.governance.study_store import StudyStore
from coordinator.runs.person_acts import perform
from protocol.errors import WorkspaceRefused
from protocol.identity.roster import SigningKey
from protocol.study.study import Study
from protocol.study.study_file import index_beside, lines_of, read_study, read_text


def register_study(path: Path, home: Path, person: SigningKey | None = None) -> tuple[Study, bool]:
    """Keeps a study in the coordinator's folder; returns it and whether it was new.

    ``person`` is the key of who registers it, None where nobody says so.

    The document as written and its index file lie in ``DIR/studies/<digest>``,
    its canonical bytes in the database.

    Raises:
        StudyRefused: the document or its index file is wrong.
        WorkspaceRefused: the folder holds no coordinator.
        PolicyRefused: the act is refused.
    """
    text = read_text(path)
    study = read_study(text, str(path))
    with lines_of(path):
        require_releasable(study)
    if not (home / "coordinator.key").is_file():
        raise WorkspaceRefused(
            f"--home {home} holds no coordinator: collegium coordinator init makes one"
        )
    StudyStore(home / "studies").keep(text, index_beside(study, path.parent))
    document = study.canonical_bytes.decode()
    request = ActRequest(action="study.register", subject_kind="study", subject=study.digest)
    told = perform(home, request, person, {"document": document})
    return study, bool(told["new"])
