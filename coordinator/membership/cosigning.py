"""Asks hospitals and witnesses to cosign the newest head of the log, before a round names it.

Each hospital that can be asked is shown the head and the proof that it extends the one
which that hospital keeps: the request of C2SP's ``add-checkpoint``, handed out where
hospitals fetch what they are asked (*by pull*), since nobody reaches them. A round is
opened only under a head that as many hospitals of the whole study have cosigned as its
secure sum needs (``Study.threshold``, floor(2n/3) + 1 unless declared). Any two such
quorums share more hospitals than the study lets collude (2t > n + C), so that no two
histories can both have one.

Witnesses outside the consortium are asked beside them, where the coordinator's policy
names any (``HeadWitnesses``); and between runs, when hospitals ask for nothing
(``submit_newest``).
"""

import logging
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from compliance.audit.log import LogHead
from coordinator.database.log.cosignatures import COSIGNED, keep_cosignatures
from coordinator.database.log.stored_tree import StoredTree
from coordinator.database.store import LogEntryRow, Store, logged_entry, newest_head
from coordinator.delivery.link import SiloLink
from coordinator.membership.log_proofs import LogProofs
from protocol.errors import MessageRefused, QuorumLost
from protocol.identity.roster import Roster, SigningKey
from protocol.log.cosignature import Cosignature, cosigned_lines, site_cosigner
from protocol.log.signed_note import parse_lines, split_note
from protocol.log.witness import parse_size, split_event
from protocol.study.study import Study
from protocol.transport.steps import COSIGN, Reply, Request, Traffic

log = logging.getLogger("collegium.coordinator")

#: How often hospitals are asked anew that hold another head each time.
_ASKED_AGAIN = 3
#: How often a newer head is begun with, that another run brought meanwhile.
_BEGUN_AGAIN = 8

#: Returns the proof that the head asked about extends that of a size.
ProofFrom = Callable[[int], tuple[bytes, ...]]


class HeadWitnesses(Protocol):
    """The witnesses outside the consortium that a coordinator submits heads to."""

    def cosign(self, head: LogHead, proof_from: ProofFrom) -> list[Cosignature]:
        """Returns their cosignatures of a head; of a witness that does not answer, none."""

    def require_met(self, found: Collection[Cosignature]) -> None:
        """Raises QuorumLost where these are fewer than the coordinator's policy asks for."""


def submit_newest(store: Store, signer: SigningKey, witnesses: HeadWitnesses) -> int:
    """Has witnesses outside the consortium cosign the newest head; returns how many lines came.

    Nothing is asked where the newest entry is that of cosignatures: there is nothing new then.

    Raises:
        StoreBroken: the log cannot be read, or the cosignatures not be kept.
    """
    with store.read() as session:
        head = newest_head(session)
        newest = None if head is None else session.get(LogEntryRow, head.size - 1)
        if head is None or newest is None or logged_entry(newest).content.type == COSIGNED:
            return 0

    def proof_from(size: int) -> tuple[bytes, ...]:
        if not size:
            return ()
        with store.read() as session:
            return StoredTree(session).consistency(size, head.size)

    found = witnesses.cosign(head, proof_from)
    if found:
        with store.transaction() as transaction:
            keep_cosignatures(transaction, head.size, found, signer)
    return len(found)


class HeadCosigning:
    """Collects the cosignatures of one run.

    Args:
        run_id: the run.
        study: its study, whose threshold is the quorum.
        roster: the hospitals' keys in the run.
        store: where cosignatures are kept.
        signer: the coordinator's key, which signs the log.
        proofs: the proofs of the run.
        link: the line to the hospitals.
        timeout: the seconds that a hospital has to answer.
        witnesses: those outside the consortium, if the coordinator knows any.
    """

    def __init__(
        self,
        *,
        run_id: str,
        study: Study,
        roster: Roster,
        store: Store,
        signer: SigningKey,
        proofs: LogProofs,
        link: SiloLink,
        timeout: float,
        witnesses: HeadWitnesses | None = None,
    ) -> None:
        self._run_id, self._study, self._store = run_id, study, store
        self._proofs, self._link, self._timeout = proofs, link, timeout
        self._signer, self._witnesses = signer, witnesses
        self._keys = {site: site_cosigner(site, roster.key_of(site)) for site in study.site_names}

    def head(
        self, absent: Collection[str] = (), traffic: Mapping[str, Traffic] | None = None
    ) -> tuple[int, str]:
        """Returns size and root of a head that a quorum has cosigned; it is shown from now on.

        Args:
            absent: the hospitals that are not asked.
            traffic: where what crosses is counted, by site.

        Raises:
            QuorumLost: too few hospitals or witnesses have cosigned it.
            StoreBroken: the log cannot be read, or has no head.
        """
        head, found, refusals = self._collected(absent, traffic, self._study.threshold)
        if len(found) < self._study.threshold:
            why = "; ".join(f"{site}: {reason}" for site, reason in sorted(refusals.items()))
            raise QuorumLost(
                f"{len(found)} of {len(self._keys)} hospitals have cosigned the log's head of "
                f"{head.size} entries, {self._study.threshold} must ({why or 'nobody answered'})"
            )
        outside = self._outside(head)
        if self._witnesses is not None:
            self._witnesses.require_met(outside)
        # Only now, or each try of a round that waits would be an entry of the log.
        self._keep(head, [*found.values(), *outside])
        quorum = sorted(found)[: self._study.threshold]
        lines = [found[site].line for site in quorum] + [one.line for one in outside]
        self._proofs.show(head, lines)
        return head.size, head.root.hex()

    def cover(self, absent: Collection[str] = ()) -> int:
        """Asks for cosignatures of the newest head outside rounds; returns how many have signed.

        Where too few do, nothing is held up: the next round asks anew.
        """
        head, found, _ = self._collected(absent, None, len(self._keys))
        outside = self._outside(head)
        self._keep(head, [*found.values(), *outside])
        return len(found) + len(outside)

    def _collected(
        self,
        absent: Collection[str],
        traffic: Mapping[str, Traffic] | None,
        enough: int,
    ) -> tuple[LogHead, dict[str, Cosignature], dict[str, str]]:
        """Returns the newest head, who has cosigned it, and why others have not."""
        sites = [site for site in self._keys if site not in absent]
        for last in (False,) * _BEGUN_AGAIN + (True,):
            head = self._proofs.newest()
            found: dict[str, Cosignature] = {}
            refusals: dict[str, str] = {}
            newer = self._ask(head, sites, found, refusals, traffic)
            grown = self._proofs.newest().size > head.size
            if last or len(found) >= enough or not (newer and grown):
                break
        return head, found, refusals

    def _ask(
        self,
        head: LogHead,
        sites: list[str],
        found: dict[str, Cosignature],
        refusals: dict[str, str],
        traffic: Mapping[str, Traffic] | None,
    ) -> bool:
        """Asks hospitals, some of them again; whether one holds a newer head of this log."""
        newer = False
        for _ in range(_ASKED_AGAIN):
            again = []
            for site, reply in self._exchange(head, sites, traffic):
                held = self._take(head, site, reply, found, refusals)
                if held is None:
                    continue
                if held > head.size:
                    newer = True
                    refusals[site] = f"it holds a head of {held} entries"
                elif self._proofs.holds(site, held):
                    again.append(site)
            sites = again
            if not sites:
                break
        return newer

    def _exchange(
        self, head: LogHead, sites: list[str], traffic: Mapping[str, Traffic] | None
    ) -> list[tuple[str, Reply]]:
        requests = {
            site: Request(
                run_id=self._run_id,
                step=COSIGN,
                message=self._proofs.request(site, head).to_bytes,
            )
            for site in sites
        }
        replies = list(self._link.exchange(requests, self._timeout)) if requests else []
        if traffic is not None:
            for site, request in requests.items():
                traffic[site].came(request)
            for site, reply in replies:
                traffic[site].went(reply)
        return replies

    def _take(
        self,
        head: LogHead,
        site: str,
        reply: Reply,
        found: dict[str, Cosignature],
        refusals: dict[str, str],
    ) -> int | None:
        """Takes one answer; returns the size that a hospital holds, where it holds another head."""
        if reply.refusal is not None:
            refusals[site] = reply.refusal
            if reply.refusal == "LogForked":
                log.error("run %s: %s SAYS THAT THIS LOG HAS TWO HISTORIES", self._run_id, site)
            return None
        answer, wanted = split_event(reply.message)
        if wanted is not None:
            self._proofs.wants(site, wanted)
        try:
            if answer[:1].isdigit():
                return parse_size(answer.decode("ascii").removesuffix("\n"))
            text, _ = split_note(head.note)
            (one,) = cosigned_lines(text, parse_lines(answer), [self._keys[site]])
        except (MessageRefused, ValueError) as error:
            refusals[site] = "its answer is no cosignature of its own"
            log.warning("run %s: %s does not cosign: %s", self._run_id, site, error)
            return None
        found[site] = one
        self._proofs.cosigned(site, head.size)
        return None

    def _outside(self, head: LogHead) -> list[Cosignature]:
        if self._witnesses is None:
            return []
        return self._witnesses.cosign(head, lambda size: self._proofs.extension(size, head.size))

    def _keep(self, head: LogHead, found: list[Cosignature]) -> None:
        if found:
            with self._store.transaction() as transaction:
                keep_cosignatures(transaction, head.size, found, self._signer)
