"""Proves to every hospital of a run that the log extends the head that it holds.

What a hospital holds it has signed when it joined; each round that it opens
adds to that. One that took part in another run meanwhile, or was restored from
a backup, says which head it holds (``HeldHead``) and is asked once more. A
hospital that says it holds a head which this log never had is left out: either
it does not tell the truth, or this database was set back.
"""

import logging
from collections.abc import Callable, Iterable, Mapping

from sqlalchemy import select

from compliance.audit.log import LogHead
from coordinator.database.store import LogEntryRow, Store, newest_head
from protocol.encoding import digest
from protocol.errors import StoreBroken
from protocol.log.entry import FAILED, INTERRUPTED, MASKED, RESULT, parse_log_entry
from protocol.log.merkle_proofs import Tree
from protocol.log.signed_note import SignatureLine, with_lines
from protocol.log.witness import WitnessRequest
from protocol.secagg.context import RoundContext
from protocol.secagg.log_proof import LoggedResult, LogProof, result_before
from protocol.secagg.messages import HeldHead
from protocol.study.rounds.course import COURSE, Course
from protocol.study.study import Study
from protocol.transport.privacy_summary import Summary

log = logging.getLogger("collegium.coordinator")

_MASKED_TYPE = f'"type":"{MASKED}"'.encode()


class LogProofs:
    """The proofs of one run.

    Args:
        store: the consortium's database.
        run_id: the run.
        study: its study.
        summaries: what the hospitals signed when they joined; more may join.
        course: returns the run's course until now, which the log names.
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        study: Study,
        summaries: Mapping[str, Summary],
        course: Callable[[], Course | None] = lambda: None,
    ) -> None:
        self._store, self._run_id, self._summaries = store, run_id, summaries
        self._study, self._course = study, course
        self._tree = Tree()
        #: By type and round: place and entry.
        self._results: dict[tuple[str, int], tuple[int, bytes]] = {}
        self._courses: dict[tuple[str, int], bytes | None] = {}
        self._note, self._begun = b"", False
        self._held: dict[str, int] = {}
        #: What hospitals sent in this run's time: place and entry, by the message's digest.
        self._events: dict[str, tuple[int, bytes]] = {}
        self._interrupted: tuple[int, bytes] | None = None
        self._wanted: dict[str, str] = {}
        self._newest_sent: dict[str, str] = {}

    def head(self) -> tuple[int, str]:
        """Returns size and root of the newest signed head, under which the next round is opened.

        Raises:
            StoreBroken: there is none, or the log cannot be read.
        """
        head = self._read()
        self.show(head, ())
        return head.size, head.root.hex()

    def newest(self) -> LogHead:
        """Returns the newest signed head.

        Raises:
            StoreBroken: there is none, or the log cannot be read.
        """
        return self._read()

    def show(self, head: LogHead, lines: Iterable[SignatureLine]) -> None:
        """Shows hospitals a head, with these cosignatures, from now on."""
        self._note = with_lines(head.note, lines)

    def request(self, site: str, head: LogHead) -> WitnessRequest:
        """Returns what one hospital is shown of a head that it is asked to cosign."""
        known = min(self._known(site), head.size)
        return WitnessRequest(old=known, proof=self.extension(known, head.size), note=head.note)

    def extension(self, first: int, second: int) -> tuple[bytes, ...]:
        """Returns the proof that the log's first ``second`` entries extend its first ``first``.

        Raises:
            ValueError: there are not that many.
        """
        return self._tree.consistency(first, second) if first else ()

    def wants(self, site: str, message: str) -> None:
        """Takes note that a hospital asks for the proof of a message that it sent, by digest."""
        self._wanted[site] = message

    def kept(self, messages: Mapping[str, bytes]) -> None:
        """Takes note of each hospital's newest message: shown where it asks for none."""
        self._newest_sent = {site: digest(message) for site, message in messages.items()}

    def cosigned(self, site: str, size: int) -> None:
        """Takes note that a hospital has cosigned the head of a size."""
        self._held[site] = max(size, self._held.get(site, 0))

    def holds(self, site: str, size: int) -> bool:
        """Takes note of the size that a hospital says it holds; whether the log has as many."""
        if size > self._tree.size:
            return False
        self._held[site] = size
        return True

    def _read(self) -> LogHead:
        """Takes in what was logged since; returns the newest head."""
        with self._store.read() as session:
            head = newest_head(session)
            if head is None:
                raise StoreBroken("the log has no signed head: no round can be opened")
            query = (
                select(
                    LogEntryRow.idx, LogEntryRow.leaf_hash, LogEntryRow.entry, LogEntryRow.run_id
                )
                .where(LogEntryRow.idx >= self._tree.size, LogEntryRow.idx < head.size)
                .order_by(LogEntryRow.idx)
            )
            for index, leaf, data, run_id in session.execute(query):
                self._tree.append(leaf)
                if run_id == self._run_id:
                    self._begun = True
                    self._remember(index, data)
                elif run_id is None and self._begun and _MASKED_TYPE in data:
                    self._events[parse_log_entry(data).payload] = index, data
        if self._tree.size < head.size or self._tree.root(head.size) != head.root:
            raise StoreBroken("the log's entries are not those of its signed head: verify it")
        return head

    def proof(self, site: str, context: RoundContext) -> LogProof:
        """Returns what one hospital is shown beside a context made under the newest ``head``."""
        known = self._known(site)
        first, second = sorted((known, context.log_size))
        return LogProof(
            note=self._note,
            known=known,
            consistency=self._tree.consistency(first, second) if first else (),
            result=self._result(context),
            course=self._shown_course(context),
            own=self._own_event(site, context),
        )

    def opened(self, site: str, context: RoundContext) -> None:
        """Takes note that a hospital has opened a round: it holds that head, or a later one."""
        self._held[site] = max(context.log_size, self._held.get(site, 0))

    def is_known(self, site: str, held: HeldHead) -> bool:
        """Takes note of the head that a hospital says it holds; whether it is this log's."""
        if held.size > self._tree.size:
            self._read()
        same = held.size <= self._tree.size
        if held.size and (not same or self._tree.root(held.size).hex() != held.root):
            log.error(
                "run %s: %s holds a head of %d entries that is not of this log (%d entries): was "
                "this database restored from a backup?",
                self._run_id, site, held.size, self._tree.size,
            )  # fmt: skip
            return False
        self._held[site] = held.size
        return True

    def _known(self, site: str) -> int:
        if site not in self._held and site in self._summaries:
            said = self._summaries[site]
            self._held[site] = 0  # where what it signed is not of this log
            self.is_known(site, HeldHead(size=said.log_size, root=said.log_root))
        return self._held.get(site, 0)

    def _result(self, context: RoundContext) -> LoggedResult | None:
        before = result_before(self._study, context.round_kind, context.round)
        if before is None or before not in self._results:
            return None
        index, entry = self._results[before]
        path = self._tree.inclusion(index, context.log_size)
        return LoggedResult(index=index, entry=entry, path=path)

    def _own_event(self, site: str, context: RoundContext) -> LoggedResult | None:
        """Returns the entry of what a hospital asks for, or of the newest interruption."""
        wanted = self._wanted.get(site, self._newest_sent.get(site))
        found = None if wanted is None else self._events.get(wanted, self._interrupted)
        if found is None or found[0] >= context.log_size:
            return None
        index, entry = found
        path = self._tree.inclusion(index, context.log_size)
        return LoggedResult(index=index, entry=entry, path=path)

    def _shown_course(self, context: RoundContext) -> bytes | None:
        """Returns the course that a round follows from; None of one that follows from a result."""
        before = result_before(self._study, context.round_kind, context.round)
        if before is None or before[0] != COURSE:
            return None
        if before not in self._courses:
            course = self._course()
            self._courses[before] = None if course is None else course.canonical_bytes
        return self._courses[before]

    def _remember(self, index: int, data: bytes) -> None:
        entry = parse_log_entry(data)
        if entry.type in (RESULT, COURSE) and entry.round is not None:
            self._results[entry.type, entry.round] = index, data
        if (entry.type, entry.payload) == (FAILED, INTERRUPTED):
            self._interrupted = index, data
