"""The rows of approvals in the hospital's database (``approvals.ApprovalStorage``)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

from sqlalchemy import select
from sqlalchemy.orm import Session

from compliance.governance.approvals import Approval, Approvals, Decision
from compliance.ledger.listed_heads import Heads
from protocol.errors import StoreBroken
from silos.database.database import SiteDatabase
from silos.database.identity_keys import IdentityKeys
from silos.database.tables import ApprovalRow


def approvals_of(hospital: SiteDatabase) -> Approvals:
    """Returns the decisions that a hospital's database keeps."""
    keys = IdentityKeys(hospital)
    return Approvals(ApprovalTable(hospital), keys.own, keys.former())


class ApprovalTable:
    """Decisions in the hospital's database."""

    def __init__(self, hospital: SiteDatabase) -> None:
        self._hospital = hospital

    @property
    def approval_heads(self) -> Heads:
        """The decisions' hashes, listed outside the database."""
        return self._hospital.approval_heads

    def now(self) -> str:
        """Returns the time as text."""
        return self._hospital.now()

    @contextmanager
    def approval_chain(self) -> Iterator["SqlApprovalChain"]:
        """Yields the rows in one immediate transaction.

        Raises:
            StoreBroken: the database cannot be read or written, or refuses the change.
        """
        with self._hospital.session() as session:
            yield SqlApprovalChain(session)


class SqlApprovalChain:
    """The rows inside one transaction (``approvals.ApprovalChain``)."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def approvals(self) -> Sequence[Approval]:
        """Returns every decision, in order."""
        query = select(ApprovalRow).order_by(ApprovalRow.number)
        return [_approval(row) for row in self._session.scalars(query)]

    def append_approval(self, approval: Approval) -> None:
        """Writes a decision."""
        values = asdict(approval) | {"decision": approval.decision.value}
        self._session.add(ApprovalRow(**values))
        self._session.flush()


def _approval(row: ApprovalRow) -> Approval:
    try:
        decision = Decision(row.decision)
    except ValueError as error:
        raise StoreBroken(f"approval {row.number} holds no decision: it was changed") from error
    return Approval(
        study=row.study,
        decision=decision,
        approver=row.approver,
        reason=row.reason,
        runs=row.runs,
        number=row.number,
        decided_at=row.decided_at,
        public_key=row.public_key,
        prev_hash=row.prev_hash,
        hash=row.hash,
        signature=row.signature,
    )
