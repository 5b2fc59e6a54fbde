"""The folder's page for people: about one run or sweep, and named by digest in the log."""

from compliance.audit.log import NewEntry
from compliance.storage.atomic_file import write_whole
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from protocol.encoding import digest

#: The type of the entry that names the page.
PAGE = "page"


def page_says(workspace: Workspace, sentence: str) -> bool:
    """Whether the folder's page holds a sentence; false where there is no page."""
    try:
        return sentence.encode() in workspace.page.read_bytes()
    except OSError:
        return False


def keep_page(workspace: Workspace, text: str) -> None:
    """Writes the folder's page, and its digest into the log, so that no word of it can be changed.

    Raises:
        StoreBroken: the coordinator's key or the database is missing or damaged.
    """
    data = text.encode()
    store = Store(workspace.database)
    try:
        with store.transaction() as transaction:
            entry = NewEntry(type=PAGE, run_id=None, payload=digest(data))
            transaction.log([entry], workspace.signing_key())
    finally:
        store.close()
    write_whole(workspace.page, data)
