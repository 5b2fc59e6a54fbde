"""Accusations in the consortium's records are judged again by whoever verifies them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from coordinator.audit.faults import Faults
from coordinator.audit.verification import check_records
from coordinator.database.store import AccusationRow, RoundRow
from coordinator.rounds.attempts.conduct import conduct_from
from coordinator.rounds.round_records import RoundRecords
from protocol.codec import to_json
from protocol.encoding import canonical
from protocol.errors import StoreBroken
from protocol.secagg.evidence.accusation import Accusation, parse_accusation
from protocol.study.study_file import read_study
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import TABLE_STUDY
from tests.system.test_retries import FalseDealer, dishonest


@pytest.fixture(scope="module")
def accused(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    """A run in which west dealt false shares."""
    federation = Federation(tmp_path_factory.mktemp("run"), read_study(TABLE_STUDY))
    with pytest.MonkeyPatch.context() as patch:
        dishonest(patch, "west", FalseDealer)
        federation.run()
    return federation


def verify(federation: Federation, session: Session) -> None:
    """Raises all faults as one."""
    faults = Faults()
    check_records(session, federation.workspace.public_key(), faults)
    if faults.found:
        raise StoreBroken("; ".join(map(str, faults.found)))


def test_an_accusation_is_kept_with_its_evidence_and_verifies(accused: Federation) -> None:
    with accused.store.read() as session:
        verify(accused, session)
        (row,) = session.query(AccusationRow)
        first = session.query(RoundRow).order_by(RoundRow.id).first()
    accusation = parse_accusation(row.document)
    assert (accusation.against, accusation.kind) == ("west", "secret")
    assert first is not None and first.context == row.context
    conduct = conduct_from(first.conduct_json)
    assert conduct.proven == ("west",)
    assert "(proven by what it signed)" in conduct.sentences[0]


class Undone(Exception):
    """The change is not to be kept."""


def removed(session: Session) -> None:
    session.query(AccusationRow).delete()


def worded_otherwise(session: Session) -> None:
    row = session.query(AccusationRow).one()
    row.document = replace(parse_accusation(row.document), why="it was late").canonical_bytes


def moved(session: Session) -> None:
    last = session.query(RoundRow).order_by(RoundRow.id.desc()).first()
    session.query(AccusationRow).one().context = last.context  # type: ignore[union-attr]


def doubled(session: Session) -> None:
    row = session.query(AccusationRow).one()
    session.add(
        AccusationRow(revision=1, run_id=row.run_id, context=row.context, document=row.document)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (removed, "its accusations are not the ones in the log"),
        (worded_otherwise, "its accusations are not the ones in the log"),
        (doubled, "its accusations are not the ones in the log"),
        (moved, "it is about another round"),
    ],
)
def test_a_changed_accusation_is_found(
    accused: Federation, change: Callable[[Session], None], message: str
) -> None:
    with pytest.raises(Undone), accused.store.transaction() as transaction:
        change(transaction.session)
        transaction.session.flush()
        with pytest.raises(StoreBroken, match=message):
            verify(accused, transaction.session)
        raise Undone


def test_a_coordinator_cannot_frame_a_hospital_in_its_own_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It logs an accusation with its key; the evidence does not bear it out."""
    federation = Federation(tmp_path, read_study(TABLE_STUDY))
    dishonest(monkeypatch, "west", FalseDealer)

    def against_east(accusation: Accusation) -> bytes:
        return canonical({**to_json(accusation), "against": "east"})

    monkeypatch.setattr(Accusation, "canonical_bytes", property(against_east))
    federation.run()
    with (
        federation.store.read() as session,
        pytest.raises(StoreBroken, match="an accusation is not borne out"),
    ):
        verify(federation, session)


def test_a_site_that_is_named_without_evidence_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation = Federation(tmp_path, read_study(TABLE_STUDY))
    dishonest(monkeypatch, "west", FalseDealer)
    keep = RoundRecords._keep
    monkeypatch.setattr(RoundRecords, "_keep", lambda self, *given: keep(self, *given[:3], ()))
    federation.run()
    with (
        federation.store.read() as session,
        pytest.raises(StoreBroken, match="is not what its evidence shows"),
    ):
        verify(federation, session)
