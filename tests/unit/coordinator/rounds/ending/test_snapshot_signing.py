"""The snapshot of a run's final model: signed by coordinator and hospitals, held to the records."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from coordinator.database.store import RunRow
from coordinator.governance.models.snapshots import signed_snapshot_of
from coordinator.rounds.ending.snapshot import require_follows
from coordinator.rounds.ending.snapshot_signing import collect_signatures
from protocol.errors import MessageRefused, QuorumLost, StoreBroken
from protocol.identity.roster import SigningKey
from protocol.study.study_file import read_study
from protocol.transport.snapshot import (
    SignedSnapshot,
    cosign_snapshot,
    parse_snapshot,
    sign_snapshot,
)
from protocol.transport.steps import SNAPSHOT, Reply, Request
from protocol.vectors.tensors import model_digest
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import changed, small_study

OTHER = "0" * 64


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    """Returns a federation whose run has ended, and whose hospitals have not left it yet."""
    federation = Federation(tmp_path_factory.mktemp("trained"), small_study())
    federation.run()
    return federation


def _kept(federation: Federation) -> SignedSnapshot:
    with federation.store.read() as session:
        found = signed_snapshot_of(session, federation.run_id)
    assert found is not None
    return found


def _asked(federation: Federation, message: bytes, site: str = "east") -> Reply:
    return federation.silos[site].answer(
        Request(run_id=federation.run_id, step=SNAPSHOT, message=message)
    )


def test_every_hospital_signs_the_model_that_the_run_ended_with(trained: Federation) -> None:
    signed = _kept(trained)
    signed.require_signed(trained.workspace.public_key(), trained.roster)
    with trained.store.read() as session:
        run = session.get_one(RunRow, trained.run_id)
        require_follows(session, run, trained.study, trained.roster)
    initial = next(iter(trained.silos.values())).simulated_part(trained.run_id).initial_model()
    assert sorted(signed.signatures) == list(trained.study.site_names)
    assert signed.snapshot.parents == (model_digest(initial),)
    assert signed.snapshot.round == trained.study.training.rounds
    assert (trained.workspace.snapshots / f"{signed.snapshot.model}.safetensors").is_file()
    assert parse_snapshot(signed.to_bytes()) == signed


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"model": OTHER}, "is not the one that this hospital evaluated last"),
        ({"round": 1}, "is not the one that this hospital evaluated last"),
        ({"parents": (OTHER,)}, "another parents"),
        ({"study": OTHER}, "another study"),
        ({"roster": OTHER}, "another roster"),
        ({"layout": OTHER}, "another layout"),
        ({"licence": "CC0-1.0"}, "another licence"),
        ({"quorum": 1}, "another quorum"),
    ],
)
def test_a_hospital_signs_nothing_that_is_not_what_it_knows(
    trained: Federation, change: Mapping[str, object], told: str
) -> None:
    other = replace(_kept(trained).snapshot, **change)  # type: ignore[arg-type]
    reply = _asked(trained, sign_snapshot(other, trained.workspace.signing_key()).to_bytes())
    assert reply.refusal == "PolicyRefused" and reply.message == b""
    assert told in str(trained.silos["east"].reason(trained.run_id))


def test_a_hospital_signs_no_other_promise_to_its_patients(trained: Federation) -> None:
    snapshot = _kept(trained).snapshot
    smaller = tuple(
        replace(one, epsilon=1) if one.site == "east" else one for one in snapshot.privacy
    )
    key = trained.workspace.signing_key()
    other = sign_snapshot(replace(snapshot, privacy=smaller), key).to_bytes()
    assert _asked(trained, other).refusal == "PolicyRefused"
    assert "another promise" in str(trained.silos["east"].reason(trained.run_id))


def test_a_hospital_signs_one_snapshot_of_a_run_and_the_same_one_again(
    trained: Federation,
) -> None:
    signed, key = _kept(trained), trained.workspace.signing_key()
    again = _asked(trained, sign_snapshot(signed.snapshot, key).to_bytes())
    assert again.message == signed.signatures["east"]
    later = replace(signed.snapshot, created="2030-01-01T00:00:00.000Z")
    assert _asked(trained, sign_snapshot(later, key).to_bytes()).refusal == "MessageRefused"


def test_a_hospital_signs_nothing_that_the_coordinator_did_not(trained: Federation) -> None:
    stranger = SigningKey.generate()
    forged = sign_snapshot(_kept(trained).snapshot, stranger).to_bytes()
    assert _asked(trained, forged).refusal == "MessageRefused"
    assert _asked(trained, forged[:-5]).refusal == "MessageRefused"


def _without_one(signed: SignedSnapshot) -> SignedSnapshot:
    return replace(signed, signatures={"east": signed.signatures["east"]})


def _with_a_wrong_one(signed: SignedSnapshot) -> SignedSnapshot:
    return replace(signed, signatures={**signed.signatures, "east": signed.signatures["north"]})


def _of_another_coordinator(signed: SignedSnapshot) -> SignedSnapshot:
    return replace(signed, coordinator_signature=bytes(64))


def _of_another_model(signed: SignedSnapshot) -> SignedSnapshot:
    return replace(signed, snapshot=replace(signed.snapshot, model=OTHER))


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        (_without_one, QuorumLost, "1 of 4 hospitals have signed"),
        (_with_a_wrong_one, MessageRefused, "east did not sign"),
        (_of_another_coordinator, MessageRefused, "coordinator did not sign"),
        (_of_another_model, MessageRefused, "did not sign"),
    ],
)
def test_a_snapshot_with_too_few_or_wrong_signatures_is_refused(
    trained: Federation,
    change: Callable[[SignedSnapshot], SignedSnapshot],
    error: type[Exception],
    told: str,
) -> None:
    with pytest.raises(error, match=told):
        change(_kept(trained)).require_signed(trained.workspace.public_key(), trained.roster)


def test_a_truncated_snapshot_and_one_with_more_in_it_are_refused(trained: Federation) -> None:
    data = _kept(trained).to_bytes()
    for other in (data[:-1], data + b" ", data.replace(b'"round"', b'"rounds"')):
        with pytest.raises(MessageRefused):
            parse_snapshot(other)


def test_hospitals_that_are_away_sign_later_and_the_snapshot_stays_the_same(
    tmp_path: Path,
) -> None:
    federation = Federation(tmp_path, small_study())
    federation.link.lost = lambda site, request: request.step == SNAPSHOT and site != "east"
    outcome = federation.run()
    signed = _kept(federation)
    with pytest.raises(QuorumLost, match="1 of 4"):
        signed.require_signed(federation.workspace.public_key(), federation.roster)
    federation.link.lost = lambda _site, _request: False
    federation.runner().sign_snapshot(outcome)
    whole = _kept(federation)
    whole.require_signed(federation.workspace.public_key(), federation.roster)
    assert whole.snapshot == signed.snapshot
    seen = [site for site, step, _ in federation.link.seen if step == SNAPSHOT]
    assert seen == ["east", "north", "south", "west"], "nobody is asked twice"


def test_what_is_no_signature_of_the_snapshot_is_not_kept(trained: Federation) -> None:
    snapshot = replace(_kept(trained).snapshot, run="another-run")
    stranger = SigningKey.generate()

    class Link:
        def exchange(self, requests: Mapping[str, Request], timeout: float):  # type: ignore[no-untyped-def]
            yield "east", Reply(message=cosign_snapshot(snapshot, stranger))
            yield "north", Reply(message=b"yes")
            yield "south", Reply(refusal="PolicyRefused")

    signed = collect_signatures(
        snapshot,
        roster=trained.roster,
        key=trained.workspace.signing_key(),
        store=trained.store,
        link=Link(),
        timeout=1.0,
        among=frozenset(snapshot.sites),
    )
    assert signed.signatures == {}


def test_a_snapshot_that_was_changed_in_the_database_is_found(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_study())
    federation.run()
    key = federation.workspace.signing_key()
    other = sign_snapshot(replace(_kept(federation).snapshot, figures=()), key)
    with federation.store.transaction() as transaction:
        transaction.session.execute(
            text("UPDATE signed_snapshot SET document = :data"), {"data": other.to_bytes()}
        )
    with federation.store.read() as session:
        run = session.get_one(RunRow, federation.run_id)
        with pytest.raises(StoreBroken, match="another figures"):
            require_follows(session, run, federation.study, federation.roster)


def test_licence_and_permitted_use_are_those_that_hospitals_approved(tmp_path: Path) -> None:
    study = read_study(
        changed(
            "seeds:",
            "release: {licence: CC-BY-NC-4.0, permitted_use: Research at the hospitals.}\nseeds:",
        )
    )
    federation = Federation(tmp_path, study)
    federation.run()
    snapshot = _kept(federation).snapshot
    assert snapshot.licence == "CC-BY-NC-4.0"
    assert snapshot.permitted_use == "Research at the hospitals."
