"""The door of a hospital: nothing masked leaves without the ledger's word."""

from pathlib import Path

import pytest

from compliance.ledger.entries import SentToken
from compliance.privacy.events import SampledGaussian
from protocol.encoding import blob_digest
from protocol.errors import QuorumLost, UpdateRefused
from protocol.transport.steps import Request
from silos.database.database import SiteDatabase, open_hospital
from silos.rounds.participation import Participation
from silos.rounds.release_gate import require_paid
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import small_study

BLOB = b"masked bytes"


@pytest.fixture
def hospital(tmp_path: Path) -> SiteDatabase:
    home = open_hospital(tmp_path / "hospital.db", site="east")
    home.ledger.open_budget(epsilon_max=8, delta=2e-5, signed_by="east")
    return home


def paid(hospital: SiteDatabase) -> SentToken:
    event = SampledGaussian(noise_multiplier=2.0, sampling_rate=0.1, steps=1)
    plan = hospital.ledger.reserve(
        study="s", run="r", partition="training", round_kind="training", event=event
    )
    return hospital.ledger.mark_sent(
        plan, context="c" * 64, event=event, blob=blob_digest(BLOB), content="d" * 64
    )


def test_paid_bytes_leave(hospital: SiteDatabase) -> None:
    require_paid(hospital.ledger, paid(hospital), BLOB)


def test_bytes_without_a_token_stay(hospital: SiteDatabase) -> None:
    with pytest.raises(UpdateRefused, match="without the ledger's token"):
        require_paid(hospital.ledger, None, BLOB)


def test_other_bytes_than_those_paid_for_stay(hospital: SiteDatabase) -> None:
    with pytest.raises(UpdateRefused, match="token is for other bytes"):
        require_paid(hospital.ledger, paid(hospital), BLOB + b"!")


def test_token_of_another_ledger_opens_nothing(hospital: SiteDatabase, tmp_path: Path) -> None:
    other = open_hospital(tmp_path / "other.db", site="north")
    other.ledger.open_budget(epsilon_max=8, delta=2e-5, signed_by="north")
    with pytest.raises(UpdateRefused, match="has not booked this release"):
        require_paid(other.ledger, paid(hospital), BLOB)


def test_trainer_code_that_forgets_the_ledger_cannot_send(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation = Federation(tmp_path, small_study())
    left: list[Request] = []
    monkeypatch.setattr(Participation, "_charge", lambda *_: "0" * 64)  # forgets to pay
    for silo in federation.silos.values():
        answer = silo.answer

        def watched(request: Request, answer: object = answer) -> object:
            reply = answer(request)  # type: ignore[operator]
            if request.step == "masked" and reply.blob is not None:
                left.append(request)
            return reply

        silo.answer = watched  # type: ignore[method-assign, assignment]
    with pytest.raises(QuorumLost, match="0 of 4 sites are left.*UpdateRefused"):
        federation.run()
    assert not left
