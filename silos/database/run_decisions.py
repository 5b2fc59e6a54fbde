"""A hospital's decisions about runs: signed, chained and listed, as its approvals are.

Rules:

1. Whatever changes a run here (asked for and joined, refused, left) is a new row. It
   holds the whole of what the hospital then says of the run, the newest approval and
   the newest heads of the coordinators' logs that it held, and the model that it
   evaluated, where it did.
2. Each row carries the hash of the one before it and the hospital's signature. The
   newest is listed outside the database (``listed_heads.py``).

``joined_runs.py`` writes them, beside the row that says how a run stands now.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from compliance.ledger.listed_heads import FIRST, LedgerHead
from protocol.encoding import canonical, digest, parse_canonical
from protocol.errors import MessageRefused, StoreBroken
from protocol.identity.roster import verify
from silos.database.database import SiteDatabase
from silos.database.identity_keys import IdentityKeys, own_key
from silos.database.tables import (
    ApprovalRow,
    HospitalRow,
    JoinedRunRow,
    LogHeadRow,
    RunDecisionRow,
    SigningRecordRow,
)

_DOMAIN = "run-decision"
#: The beginning of the signing record's slots that name the models that were evaluated.
_EVALUATED = "model/evaluation/"
_NONE = "0" * 64


@dataclass(frozen=True, kw_only=True)
class RunDecision:
    """A hospital's decision about a run; ``notice`` and ``end`` are digests of what it was told.

    ``approval`` is the number of the newest approval then, ``approval_hash`` its hash;
    ``log_heads`` is (origin, size, root) of the newest head of each coordinator's log;
    ``evaluated`` is the digest of the model that its test patients were counted by.
    """

    number: int
    site: str
    simulated: bool
    run_id: str
    study: str
    state: str
    notice: str
    end: str | None
    left_by: str | None
    left_because: str | None
    joined_at: str
    changed_at: str
    approval: int
    approval_hash: str
    log_heads: Sequence[Sequence[Any]]
    evaluated: str | None
    public_key: str
    prev_hash: str

    @classmethod
    def read(cls, number: int, document: bytes) -> Self:
        """Returns the decision in a row.

        Raises:
            StoreBroken: it is none.
        """
        try:
            said = parse_canonical(document)
            names = {field.name for field in fields(cls)}
            if not isinstance(said, Mapping) or said.keys() != names:
                raise _broken(number, "was changed")
            read: Mapping[str, Any] = said
            return cls(**read)
        except MessageRefused as error:
            raise _broken(number, "was changed") from error


def evaluated_model(session: Session, run_id: str) -> str | None:
    """Returns the digest of the model that the hospital evaluated in a run; None before that.

    Of several it is the last evaluation's, which has the lowest number (``EvaluationSchedule``);
    before that the first one's.
    """
    found = evaluated_models(session, run_id)
    return found[min(found)] if found else None


def evaluated_models(session: Session, run_id: str) -> dict[int, str]:
    """Returns the digests of the models that the hospital evaluated in a run, by the round."""
    found = select(SigningRecordRow.slot, SigningRecordRow.digest).where(
        SigningRecordRow.context == run_id, SigningRecordRow.slot.like(f"{_EVALUATED}%")
    )
    named = {slot.removeprefix(_EVALUATED): model for slot, model in session.execute(found).all()}
    return {int(number): model for number, model in named.items() if number.isdecimal()}


def decide(session: Session, hospital: SiteDatabase, run: JoinedRunRow) -> None:
    """Adds a row of how a run stands; nothing where it was joined and is, by the same approvals."""
    newest = session.scalars(select(ApprovalRow).order_by(ApprovalRow.number.desc())).first()
    approval = (newest.number, newest.hash) if newest else (0, _NONE)
    of_run = select(RunDecisionRow).filter_by(run_id=run.run_id)
    row = session.scalars(of_run.order_by(RunDecisionRow.number.desc())).first()
    if row is not None and run.state == "joined":
        before = RunDecision.read(row.number, row.document)
        if (before.state, before.approval, before.approval_hash) == ("joined", *approval):
            return
    last = session.scalars(_newest_first()).first()
    own, home = own_key(session, hospital.keys), session.get_one(HospitalRow, 1)
    said: dict[str, Any] = {
        "number": last.number + 1 if last else 1,
        "site": home.site,
        "simulated": home.simulated,
        **said_of(run),
        "approval": approval[0],
        "approval_hash": approval[1],
        "log_heads": _log_heads(session),
        "evaluated": evaluated_model(session, run.run_id),
        "public_key": own.public.hex(),
        "prev_hash": last.hash if last else _NONE,
    }
    document = canonical(said)
    session.add(
        RunDecisionRow(
            number=said["number"],
            run_id=run.run_id,
            document=document,
            prev_hash=said["prev_hash"],
            hash=digest(document),
            signature=own.sign(_DOMAIN, document),
        )
    )
    session.flush()


def said_of(run: JoinedRunRow) -> dict[str, Any]:
    """Returns what a decision holds of a run's row."""
    return {
        "run_id": run.run_id,
        "study": run.study,
        "state": run.state,
        "notice": digest(run.notice),
        "end": None if run.run_end is None else digest(run.run_end),
        "left_by": run.left_by,
        "left_because": run.left_because,
        "joined_at": run.joined_at,
        "changed_at": run.changed_at,
    }


def list_newest(hospital: SiteDatabase) -> None:
    """Lists the newest decision outside the database: it binds from now on."""
    with hospital.session() as session:
        last = session.scalars(_newest_first()).first()
        head = LedgerHead(number=last.number, hash=last.hash) if last else None
    if head is not None:
        hospital.run_heads.append(head)


class RunDecisions:
    """The decisions in a hospital's database."""

    def __init__(self, hospital: SiteDatabase) -> None:
        self._hospital = hospital

    def all(self) -> tuple[RunDecision, ...]:
        """Returns every decision in order, after checking that none was changed or removed.

        Raises:
            StoreBroken: names the first that was.
        """
        newest = self._hospital.run_heads.newest()  # first: it never names what is to come
        rows = self._chained()
        if newest.number and newest.hash not in {row.hash for row in rows}:
            raise StoreBroken(
                f"decision {newest.number} about runs, the newest, is not in the database: it was "
                "removed, or the database is an older copy. Restore the newest copy; if there is "
                "none: collegium silo restored"
            )
        return tuple(RunDecision.read(row.number, row.document) for row in rows)

    def accept_copy(self) -> None:
        """Lets decisions go on after some may have been lost.

        Raises:
            StoreBroken: what there is of them was changed, or cannot be written.
        """
        rows = self._chained()
        head = LedgerHead(number=rows[-1].number, hash=rows[-1].hash) if rows else FIRST
        self._hospital.run_heads.restart(head)

    def contradicted(self) -> tuple[str, ...]:
        """Returns the runs whose row is not what was decided of them last.

        Raises:
            StoreBroken: the decisions were changed.
        """
        last = {decision.run_id: decision for decision in self.all()}
        with self._hospital.session() as session:
            rows = {row.run_id: said_of(row) for row in session.scalars(select(JoinedRunRow))}
        decided = {
            run: {name: getattr(decision, name) for name in rows[run]}
            for run, decision in last.items()
            if run in rows
        }
        runs = sorted(rows.keys() | last.keys())
        return tuple(run for run in runs if rows.get(run) != decided.get(run) or run not in rows)

    def _chained(self) -> Sequence[RunDecisionRow]:
        known = IdentityKeys(self._hospital).public()
        with self._hospital.session() as session:
            rows = session.scalars(select(RunDecisionRow).order_by(RunDecisionRow.number)).all()
            session.expunge_all()
        previous = _NONE
        for number, row in enumerate(rows, start=1):
            said = RunDecision.read(number, row.document)
            if (row.number, said.number, said.prev_hash) != (number, number, previous):
                raise _broken(number, "does not follow the one before it")
            if said.public_key not in known:
                raise _broken(number, "is signed with a key that was never this hospital's")
            if row.hash != digest(row.document) or row.run_id != said.run_id:
                raise _broken(number, "was changed")
            try:
                verify(bytes.fromhex(said.public_key), _DOMAIN, row.document, row.signature)
            except MessageRefused as error:
                raise _broken(number, "was changed") from error
            previous = row.hash
        return rows


def _newest_first() -> Any:
    return select(RunDecisionRow).order_by(RunDecisionRow.number.desc()).limit(1)


def _log_heads(session: Session) -> list[list[Any]]:
    newest = select(LogHeadRow.origin, func.max(LogHeadRow.size)).group_by(LogHeadRow.origin)
    places = [(origin, size) for origin, size in session.execute(newest.order_by("origin"))]
    return [[*place, session.get_one(LogHeadRow, place).root.hex()] for place in places]


def _broken(number: int, what: str) -> StoreBroken:
    return StoreBroken(f"decision {number} about runs {what}: restore the hospital's database")
