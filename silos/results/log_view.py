"""A hospital's view of the coordinator's log: the newest head, and any fork.

The note is what an auditor needs from this hospital: verifying the coordinator's
folder with it (``collegium audit verify --checkpoint``) shows whether anything
that this hospital was shown has been changed since.
"""

from dataclasses import dataclass
from pathlib import Path

from compliance.storage.atomic_file import write_named
from protocol.errors import WorkspaceRefused
from protocol.secagg.log_proof import SignedHead
from silos.config.credentials import Credentials
from silos.config.directory import read_own
from silos.config.site_file import site_file_of
from silos.rounds.openings.log_heads import Fork, LogHeads


@dataclass(frozen=True, kw_only=True)
class LogView:
    """The newest head that a hospital holds (None before its first round), and the forks."""

    newest: SignedHead | None
    forks: tuple[Fork, ...]


def view_log(home: Path) -> LogView:
    """Returns what a hospital keeps of its coordinator's log.

    Raises:
        StoreBroken: the hospital has not enrolled, or its database is damaged.
    """
    hospital = read_own(home, site_file_of(home))
    try:
        heads = LogHeads(hospital, Credentials(home / "tls", hospital.site).coordinator.key)
        return LogView(newest=heads.newest(), forks=heads.forks())
    finally:
        hospital.close()


def write_note(view: LogView, to: Path) -> None:
    """Writes the newest note to a file, for auditors of the coordinator's folder.

    Raises:
        WorkspaceRefused: there is none yet, or the file cannot be written.
    """
    if view.newest is None:
        raise WorkspaceRefused("this hospital holds no head of the log yet: it joined no round")
    write_named(to, view.newest.note)
