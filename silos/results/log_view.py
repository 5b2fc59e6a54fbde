"""A hospital's view of the coordinator's log: the newest head, and any fork.

The note is what an auditor needs from this hospital: verifying the coordinator's
folder with it (``collegium audit verify --checkpoint``) shows whether anything
that this hospital was shown has been changed since.
"""

from dataclasses import dataclass
from pathlib import Path

from compliance.storage.atomic_file import write_named
from protocol.errors import WorkspaceRefused
from protocol.log.signed_note import log_origin, split_note
from protocol.log.tlog_proof import parse_tlog_proof
from protocol.secagg.log_proof import SignedHead, open_head
from silos.config.credentials import Credentials
from silos.config.directory import read_own
from silos.config.site_file import site_file_of
from silos.rounds.openings.log_heads import Fork, LogHeads


@dataclass(frozen=True, kw_only=True)
class LogView:
    """The newest head that a hospital holds (None before its first round), and the forks.

    ``cosigned`` is the newest head that a round was opened under, with its cosignatures;
    ``cosigners`` are the names of those, unverified here: they were when the round was opened.
    ``own_events`` are the proofs (tlog-proof) that the log holds what this hospital sent.
    """

    newest: SignedHead | None
    forks: tuple[Fork, ...]
    cosigned: SignedHead | None
    cosigners: tuple[str, ...]
    own_events: tuple[bytes, ...]


def view_log(home: Path) -> LogView:
    """Returns what a hospital keeps of its coordinator's log.

    Raises:
        StoreBroken: the hospital has not enrolled, or its database is damaged.
    """
    hospital = read_own(home, site_file_of(home))
    try:
        heads = LogHeads(hospital, Credentials(home / "tls", hospital.site).coordinator.key)
        note, cosigned, cosigners = heads.newest_cosigned(), None, list[str]()
        if note is not None:
            cosigned = open_head(note, heads.public)
            origin = log_origin(heads.public)
            cosigners = [line.name for line in split_note(note)[1] if line.name != origin]
        return LogView(
            newest=heads.newest(),
            forks=heads.forks(),
            cosigned=cosigned,
            cosigners=tuple(cosigners),
            own_events=heads.own_events(),
        )
    finally:
        hospital.close()


def write_note(view: LogView, to: Path) -> None:
    """Writes the newest note to a file, for auditors of the coordinator's folder.

    With its cosignatures, where a round was opened under just that head.

    Raises:
        WorkspaceRefused: there is none yet, or the file cannot be written.
    """
    if view.newest is None:
        raise WorkspaceRefused("this hospital holds no head of the log yet: it joined no round")
    same = view.cosigned is not None and view.cosigned.size == view.newest.size
    write_named(to, view.cosigned.note if same and view.cosigned else view.newest.note)


def write_proofs(view: LogView, folder: Path) -> int:
    """Writes the proofs of what this hospital sent to a folder, one file each; returns how many.

    Raises:
        WorkspaceRefused: they cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for proof in view.own_events:
            name = f"entry-{parse_tlog_proof(proof).index}.tlog-proof"
            (folder / name).write_bytes(proof)
    except OSError as error:
        raise WorkspaceRefused(f"--proofs {folder} cannot be written: {error.strerror}") from error
    return len(view.own_events)
