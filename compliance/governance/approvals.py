"""The hospital's decisions about studies: approved by named people, or withdrawn.

Rules:

1. A decision is about a study's digest: another study, however alike, needs
   its own. An approval is for a number of runs: it names the number of the
   last one, counted over all runs of the study here. A run counts while it is
   at work, and for ever once something of it was sent.
2. Only people whom the site's policy names approve, and as many of them as it
   asks for. Anybody who works here may withdraw: stopping never waits for the
   right person.
3. A withdrawal ends every approval before it.
4. Decisions are only ever added. Each carries the hash of the one before it
   and the hospital's own signature, so that none can be slipped in, changed or
   taken away from the middle. The newest is also listed outside the database
   (``listed_heads.py``), so that none can be taken away from the end: an older copy
   of the database would let a study run that was withdrawn since.

This file decides; ``silos.database.approvals`` keeps the rows.
"""

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from compliance.ledger.listed_heads import FIRST, Heads, LedgerHead
from protocol.encoding import canonical, digest
from protocol.errors import MessageRefused, PolicyRefused, StoreBroken
from protocol.identity.roster import SigningKey, verify

#: What the first decision follows.
NO_DECISION = "0" * 64
_DOMAIN = "approval"
_MAX_NAME = 200
_MAX_REASON = 2000
_MAX_RUNS = 1000


class Decision(StrEnum):
    """A decision about a study."""

    APPROVED = "approved"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, kw_only=True)
class Approval:
    """One decision of one person about one study (its digest).

    ``runs`` is how often the study may run here in all, by this person's approval.
    """

    study: str
    decision: Decision
    approver: str
    reason: str
    runs: int = 0
    number: int = 0
    decided_at: str = ""
    public_key: str = ""
    prev_hash: str = ""
    hash: str = ""
    signature: bytes = b""

    @property
    def signed_bytes(self) -> bytes:
        """The bytes that the hospital signs: everything but their hash and the signature."""
        return canonical(
            {
                "v": 1,
                "number": self.number,
                "study": self.study,
                "decision": self.decision.value,
                "approver": self.approver,
                "reason": self.reason,
                "runs": self.runs,
                "decided_at": self.decided_at,
                "public_key": self.public_key,
                "prev_hash": self.prev_hash,
            }
        )


class ApprovalChain(Protocol):
    """The rows, inside one transaction."""

    def approvals(self) -> Sequence[Approval]:
        """Returns every decision, in order."""

    def append_approval(self, approval: Approval) -> None:
        """Writes a decision."""


class ApprovalStorage(Protocol):
    """The storage of decisions: the hospital's database, or a test's fake."""

    @property
    def approval_heads(self) -> Heads:
        """The decisions' hashes, listed outside the database."""

    def approval_chain(self) -> AbstractContextManager[ApprovalChain]:
        """Returns a transaction that excludes every other one; durable when left normally."""

    def now(self) -> str:
        """Returns the time as text, for the record only: no rule reads it."""


class Approvals:
    """The rules over a storage.

    ``key`` is the hospital's identity key; ``former`` are the public keys (hexadecimal) it
    had before, under which older decisions are signed.
    """

    def __init__(
        self, storage: ApprovalStorage, key: SigningKey, former: Collection[str] = ()
    ) -> None:
        self._storage = storage
        self._key = key
        self._known = {key.public.hex(), *former}

    def approve(
        self,
        study: str,
        *,
        approver: str,
        approvers: Collection[str],
        used: int = 0,
        runs: int = 1,
        reason: str = "",
    ) -> Approval:
        """Records that a named person lets a study run so many times more.

        Said again before one of these runs has begun, it adds nothing.

        Args:
            study: its digest.
            approver: who decides.
            approvers: whom the site's policy names.
            used: how many runs of the study count already (``Ledger.runs_of``).
            runs: how many more may follow.
            reason: kept beside the decision.

        Raises:
            PolicyRefused: the site's policy does not name this person.
            ValueError: the name or the reason is empty or too long, or the
                number of runs is not between 1 and 1000.
            StoreBroken: the decisions were changed, or cannot be written.
        """
        name = _name(approver)
        if not 1 <= runs <= _MAX_RUNS:
            raise ValueError(f"an approval is for 1 to {_MAX_RUNS} runs, not {runs}")
        if name not in approvers:
            named = ", ".join(approvers) or "nobody yet"
            raise PolicyRefused(
                f"{name!r} may not approve: policy.approvers in the site file names {named}"
            )
        with self._storage.approval_chain() as chain:
            decisions = self._intact(chain)
            for standing in _standing(decisions, study):
                if standing.approver == name and standing.runs >= used + runs:
                    return standing
            draft = Approval(
                study=study,
                decision=Decision.APPROVED,
                approver=name,
                reason=reason,
                runs=used + runs,
            )
            done = self._append(chain, decisions, draft)
        return self._listed(done)

    def withdraw(self, study: str, *, approver: str, reason: str = "") -> Approval:
        """Records that a study may not run here any more.

        Raises:
            PolicyRefused: there is no approval to withdraw.
            ValueError: the name or the reason is empty or too long.
            StoreBroken: the decisions were changed, or cannot be written.
        """
        name = _name(approver)
        with self._storage.approval_chain() as chain:
            decisions = self._intact(chain)
            if not _standing(decisions, study):
                raise PolicyRefused(f"study {study[:16]} is not approved: nothing to withdraw")
            draft = Approval(study=study, decision=Decision.WITHDRAWN, approver=name, reason=reason)
            done = self._append(chain, decisions, draft)
        return self._listed(done)

    def accept_copy(self, *, approver: str, reason: str) -> tuple[Approval, ...]:
        """Lets decisions go on after some may have been lost: every study needs a new approval.

        What was withdrawn since an older copy was made is not known, so every
        approval that stands is withdrawn.

        Returns:
            The withdrawals.

        Raises:
            ValueError: the name or the reason is empty or too long.
            StoreBroken: what there is of the decisions was changed, or cannot be written.
        """
        name = _name(approver)
        with self._storage.approval_chain() as chain:
            decisions, done = self._chained(chain), list[Approval]()
            for study in dict.fromkeys(entry.study for entry in decisions):
                if _standing(decisions, study):
                    draft = Approval(
                        study=study, decision=Decision.WITHDRAWN, approver=name, reason=reason
                    )
                    done.append(self._append(chain, [*decisions, *done], draft))
            newest = [*decisions, *done][-1:]
        head = LedgerHead(number=newest[0].number, hash=newest[0].hash) if newest else FIRST
        self._storage.approval_heads.restart(head)
        return tuple(done)

    def standing(self, study: str) -> tuple[Approval, ...]:
        """Returns each person's newest approval of a study that nobody has withdrawn since.

        Raises:
            StoreBroken: the decisions were changed.
        """
        return _standing(self.all(), study)

    def all(self) -> tuple[Approval, ...]:
        """Returns every decision in order, after checking that none was changed.

        Raises:
            StoreBroken: names the first decision that was changed, moved or removed.
        """
        with self._storage.approval_chain() as chain:
            return self._intact(chain)

    def require(self, study: str, *, approvers: Collection[str], needed: int) -> int:
        """Returns how often a study may run here in all: as often as enough people have approved.

        Args:
            study: its digest.
            approvers: whom the policy names now.
            needed: how many of them must approve.

        Raises:
            PolicyRefused: says who has approved and how many are missing.
            StoreBroken: the decisions were changed.
        """
        found = self.standing(study)
        standing = [entry.approver for entry in found]
        counted = [name for name in standing if name in approvers]
        if len(counted) >= max(1, needed):
            runs = sorted((e.runs for e in found if e.approver in approvers), reverse=True)
            return runs[max(1, needed) - 1]
        if not counted:
            said = "nobody" if not standing else f"only {', '.join(standing)}, no approver now,"
            raise PolicyRefused(
                f"{said} has approved study {study[:16]} here: collegium silo approve"
            )
        raise PolicyRefused(
            f"study {study[:16]} is approved by {', '.join(counted)}; the policy needs {needed} "
            "people: another one runs collegium silo approve"
        )

    def _append(
        self, chain: ApprovalChain, decisions: Sequence[Approval], draft: Approval
    ) -> Approval:
        if len(draft.reason) > _MAX_REASON:
            raise ValueError(f"a reason has at most {_MAX_REASON} letters")
        draft = replace(
            draft,
            reason=draft.reason.strip(),
            number=len(decisions) + 1,
            decided_at=self._storage.now(),
            public_key=self._key.public.hex(),
            prev_hash=decisions[-1].hash if decisions else NO_DECISION,
        )
        data = draft.signed_bytes
        sealed = replace(draft, hash=digest(data), signature=self._key.sign(_DOMAIN, data))
        chain.append_approval(sealed)
        return sealed

    def _listed(self, done: Approval) -> Approval:
        """Lists a decision outside the database: it binds from now on."""
        self._storage.approval_heads.append(LedgerHead(number=done.number, hash=done.hash))
        return done

    def _intact(self, chain: ApprovalChain) -> tuple[Approval, ...]:
        newest = self._storage.approval_heads.newest()  # first: it never names what is to come
        decisions = self._chained(chain)
        if newest.number and newest.hash not in {entry.hash for entry in decisions}:
            raise StoreBroken(
                f"approval {newest.number}, the newest decision, is not in the database: it was "
                "removed, or the database is an older copy. No study may run on it. Restore the "
                "newest copy; if there is none: collegium silo restored"
            )
        return decisions

    def _chained(self, chain: ApprovalChain) -> tuple[Approval, ...]:
        decisions = tuple(chain.approvals())
        previous = NO_DECISION
        for number, entry in enumerate(decisions, start=1):
            if (entry.number, entry.prev_hash) != (number, previous):
                raise _broken(number, "does not follow the one before it")
            if entry.public_key not in self._known:
                raise _broken(number, "is signed with a key that was never this hospital's")
            data = entry.signed_bytes
            try:
                verify(bytes.fromhex(entry.public_key), _DOMAIN, data, entry.signature)
            except MessageRefused as error:
                raise _broken(number, "was changed") from error
            if entry.hash != digest(data):
                raise _broken(number, "was changed")
            previous = entry.hash
        return decisions


def _name(approver: str) -> str:
    name = approver.strip()
    if not 0 < len(name) <= _MAX_NAME:
        raise ValueError(f"name who decides, in at most {_MAX_NAME} letters")
    return name


def _standing(decisions: Sequence[Approval], study: str) -> tuple[Approval, ...]:
    standing: dict[str, Approval] = {}
    for entry in decisions:
        if entry.study == study:
            if entry.decision is Decision.WITHDRAWN:
                standing.clear()
            else:
                standing[entry.approver] = entry
    return tuple(standing.values())


def _broken(number: int, what: str) -> StoreBroken:
    return StoreBroken(
        f"approval {number} {what}: no study may run on it. Restore the hospital's database"
    )
