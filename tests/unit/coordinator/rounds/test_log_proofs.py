"""The coordinator proves its log to every hospital, whatever head it holds."""

import logging
from pathlib import Path

import pytest

from compliance.audit.log import NewEntry
from coordinator.database.store import RoundRow, Store, signed_heads
from coordinator.membership.log_proofs import LogProofs
from protocol.encoding import digest, parse_canonical
from protocol.errors import QuorumLost, StoreBroken
from protocol.secagg.log_proof import SignedHead, open_head
from protocol.secagg.messages import HeldHead
from protocol.transport.steps import COSIGN, Request
from silos.rounds.openings.log_heads import LogHeads
from tests.support.hospital.coordinator_log import CoordinatorLog
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import small_study


def heads_of(federation: Federation, site: str) -> LogHeads:
    return LogHeads(federation.silos[site]._database, federation.workspace.public_key())


def logged_more(federation: Federation) -> SignedHead:
    """Adds an entry of another run to the log; returns the head after it."""
    entry = NewEntry(type="run-started", run_id="another", payload=digest(b"another"))
    with federation.store.transaction() as transaction:
        head = transaction.log([entry], federation.workspace.signing_key())
    return SignedHead(size=head.size, root=head.root, note=head.note)


def test_every_context_names_a_signed_head_and_every_hospital_keeps_it(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_study())
    federation.run()
    with federation.store.read() as session:
        heads = {head.size: head.root.hex() for head in signed_heads(session)}
        rows = session.query(RoundRow.context_json).all()
    contexts = [parse_canonical(row[0].encode()) for row in rows]
    named = {context["log_size"]: context["log_root"] for context in contexts}  # type: ignore[index,call-overload]
    assert named.items() <= heads.items()
    assert len(named) == 3
    for site in federation.silos:
        for size, root in named.items():
            kept = heads_of(federation, site).at(size)  # type: ignore[arg-type]
            assert kept is not None
            assert kept.root.hex() == root
            assert open_head(kept.note, federation.workspace.public_key()).size == size


def test_a_hospital_that_saw_a_newer_head_is_opened_to_again_and_takes_part(
    tmp_path: Path,
) -> None:
    federation = Federation(tmp_path, small_study())
    seen: list[str] = []

    def takes_part_elsewhere(site: str, request: Request) -> bool:
        if request.step == "advertise":
            seen.append(site)
            if site == "east" and seen.count("east") in (1, 3):
                heads_of(federation, "east").keep(logged_more(federation))
        return request.step == COSIGN and site == "east"  # or it would hold the round's head, too

    federation.link.lost = takes_part_elsewhere
    federation.run()
    assert all("east" in survivors for _, _, survivors in federation.watch.rounds)
    assert seen.count("east") == 5  # three rounds, two of them opened twice
    assert seen.count("west") == 3


def test_a_hospital_that_was_restored_from_a_backup_is_proven_the_rest(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_study())
    forgot: list[str] = []

    def forgets(site: str, request: Request) -> bool:
        second = (site, request.step) == ("east", "advertise") and len(federation.watch.rounds) == 1
        if second and not forgot:
            participation = federation.silos["east"]._joined("run-1")
            newest = participation._heads.newest
            participation._heads.newest = lambda: None if not forgot else newest()  # type: ignore[method-assign]
            forgot.append(site)
            federation.silos["east"].answer(request)  # answered with an empty head: 0
            forgot.append(site)
        return False

    federation.link.lost = forgets
    federation.run()
    assert all("east" in survivors for _, _, survivors in federation.watch.rounds)


def test_a_hospital_that_holds_a_head_of_another_log_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    federation = Federation(tmp_path, small_study())
    other = CoordinatorLog(federation.workspace.signing_key(), "another")
    for _ in range(50):
        other.append("run-started")
    head = other.head
    heads_of(federation, "east").keep(SignedHead(size=head.size, root=head.root, note=head.note))
    with caplog.at_level(logging.ERROR, logger="collegium.coordinator"):
        federation.run()
    assert all("east" not in survivors for _, _, survivors in federation.watch.rounds)
    assert "east holds a head of 51 entries that is not of this log" in caplog.text


def test_a_log_that_was_set_back_finds_no_hospital(tmp_path: Path) -> None:
    """As after a restored backup of the coordinator's database: nothing goes on unnoticed."""
    federation = Federation(tmp_path, small_study())
    for _ in range(50):
        newest = logged_more(federation)
    for site in federation.silos:
        heads_of(federation, site).keep(newest)
    federation.store.close()
    (tmp_path / "out" / "collegium.db").unlink()
    federation.store = Store(federation.workspace.database)
    with pytest.raises(QuorumLost, match="0 of 4 .* cosigned .*east: it holds a head of 50"):
        federation.run()


def test_a_log_whose_entries_are_not_its_heads_opens_no_round(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_study())
    logged_more(federation)
    proofs = LogProofs(federation.store, "run-1", small_study(), {})
    with federation.store.transaction() as transaction:
        from sqlalchemy import text

        transaction.session.execute(text("DROP TRIGGER audit_entry_no_update"))
        transaction.session.execute(text("UPDATE audit_entry SET leaf_hash = zeroblob(32)"))
    with pytest.raises(StoreBroken, match="are not those of its signed head"):
        proofs.head()


def test_an_empty_log_opens_no_round(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_study())
    with pytest.raises(StoreBroken, match="no signed head"):
        LogProofs(federation.store, "run-1", small_study(), {}).head()


def test_what_a_hospital_says_it_holds_is_believed_only_where_it_is_true(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_study())
    proofs = LogProofs(federation.store, "run-1", small_study(), {})
    first = logged_more(federation)
    proofs.head()
    assert proofs.is_known("east", HeldHead(size=0, root="0" * 64))
    assert proofs.is_known("east", HeldHead(size=1, root=first.root.hex()))
    assert not proofs.is_known("east", HeldHead(size=1, root="0" * 64))
    assert not proofs.is_known("east", HeldHead(size=2, root=first.root.hex()))
    later = logged_more(federation)
    assert proofs.is_known("east", HeldHead(size=2, root=later.root.hex()))
