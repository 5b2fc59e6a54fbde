"""Views of the log: its version, search, proofs, cosigners, and the verification of everything."""

from compliance.facts.dossier import LogVerification
from coordinator.audit.faults import Faults
from coordinator.audit.verification import CheckWatch, check_records
from coordinator.database.log.entry_proofs import MadeProof, prove_entry
from coordinator.database.store import head_after, newest_head, require_own_version
from coordinator.views.log.cosigners import CosignedLog, cosigned_log
from coordinator.views.log.search import LogPage, LogQuery, search_log
from coordinator.views.opened.database import OpenDatabase
from coordinator.views.opened.version import KeptVerification, ViewsVersion
from coordinator.views.several_runs.comparisons import files_beside


class LogViews(OpenDatabase):
    """The views of the log, and of the records held to it."""

    def version(self) -> ViewsVersion:
        """Returns what all that is shown depends on, beside the time: how long the log is.

        Raises:
            StoreBroken: the database cannot be read, or another version has changed it.
        """
        with self._store.read() as session:
            require_own_version(session)
            head = newest_head(session)
        beside = () if self._folder is None else files_beside(self._folder)
        return ViewsVersion(
            size=0 if head is None else head.size,
            root="" if head is None else head.root.hex(),
            at_work=self._at_work(),
            beside=beside,
        )

    def root_at(self, size: int) -> str | None:
        """Returns the root of the signed head of so many entries; None where there is none."""
        with self._store.read() as session:
            head = head_after(session, size - 1)
        return head.root.hex() if head is not None and head.size == size else None

    def log_size(self) -> int:
        """Returns how many entries the log has."""
        with self._store.read() as session:
            head = newest_head(session)
        return 0 if head is None else head.size

    def search_log(self, query: LogQuery, before: int | None = None, limit: int = 50) -> LogPage:
        """Returns the newest entries that a search finds; see ``search_log``.

        Raises:
            StoreBroken: an entry, or the record of an act, was changed.
        """
        with self._store.read() as session:
            return search_log(session, query, before, limit, self._places)

    def proof(self, index: int) -> MadeProof:
        """Returns the proof that an entry stands in the log; see ``prove_entry``.

        Raises:
            WorkspaceRefused: there is no such entry.
            StoreBroken: the log cannot be read.
        """
        with self._store.read() as session:
            return prove_entry(session, self._public_key(), index)

    def cosigned_log(self) -> CosignedLog:
        """Returns who has cosigned the log, how far, and how far a quorum has.

        Raises:
            StoreBroken: what is stored about it was changed.
        """
        with self._store.read() as session:
            return cosigned_log(session, self._cosigned)

    def verification(
        self, public: bytes | None = None, watch: CheckWatch = lambda part, done, total: None
    ) -> LogVerification:
        """Checks the whole log, and all records against it; says under which key, and what faults.

        Args:
            public: the key that is trusted; the one in the folder when None.
            watch: is told which part is checked now, and how much of it is done.
        """
        faults = Faults()
        with faults.checking("the key"):
            public = public or self._public_key()
            with self._store.read() as session:
                check_records(session, public, faults, watch=watch)
        return LogVerification(
            key=(public or b"").hex(), faults=tuple(str(fault) for fault in faults.found)
        )

    def verified(self) -> KeptVerification:
        """Returns what a verification of the whole folder finds now, with the log's size."""
        version = self.version()
        return KeptVerification(size=version.size, root=version.root, result=self.verification())
