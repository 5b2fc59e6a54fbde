"""Proofs from the database are those of the tree over all leaves, however entries were appended."""

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import delete, event, select
from sqlalchemy.orm import Session

from compliance.audit.log import NewEntry
from coordinator.database.log import stored_tree
from coordinator.database.log.stored_tree import StoredTree
from coordinator.database.store import LogEntryRow, Store
from protocol.encoding import digest
from protocol.errors import StoreBroken
from protocol.identity.roster import SigningKey
from protocol.log.merkle import verify_consistency, verify_inclusion
from protocol.log.merkle_proofs import Tree
from tests.support.machine.databases import without_guards


def log_of(folder: Path, appends: list[int]) -> Store:
    """A log to which so many entries were appended at a time."""
    store, key = Store(folder / "collegium.db"), SigningKey.generate()
    for number, count in enumerate(appends):
        entries = [
            NewEntry(type="sum", run_id=None, payload=digest(b"%d %d" % (number, one)))
            for one in range(count)
        ]
        with store.transaction() as transaction:
            transaction.log(entries, key)
    return store


@pytest.fixture(params=["one by one", "a few at a time", "one large append", "small and large"])
def session(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Session]:
    chance = random.Random(7)
    appends = {
        "one by one": [1] * 90,
        "a few at a time": [chance.randrange(1, 9) for _ in range(60)],
        "one large append": [300],
        "small and large": [3, 200, 1, 130, 2],
    }[request.param]
    with closing(log_of(tmp_path, appends)) as store, store.read() as session:
        yield session


@pytest.fixture(params=[1, 8, 64])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many leaves are read rather than looked for: 1 lets heads and recursion do it all."""
    monkeypatch.setattr(stored_tree, "_FEW_LEAVES", request.param)
    monkeypatch.setattr(stored_tree, "_MOST_LEAVES", max(16, request.param))
    return int(request.param)


def test_proofs_are_those_of_the_whole_tree(session: Session, few: int) -> None:
    stored = StoredTree(session)
    leaves = list(session.scalars(select(LogEntryRow.leaf_hash).order_by(LogEntryRow.idx)))
    whole, size = Tree(leaves), len(leaves)
    assert stored.size == size and stored.root(size) == whole.root(size)
    chance = random.Random(few)
    for _ in range(40):
        second = chance.randrange(1, size + 1)
        first, index = chance.randrange(1, second + 1), chance.randrange(second)
        assert stored.root(second) == whole.root(second)
        path = stored.inclusion(index, second)
        verify_inclusion(leaves[index], index, second, path, whole.root(second))
        proof = stored.consistency(first, second)
        verify_consistency(first, second, proof, whole.root(first), whole.root(second))


def test_a_proof_takes_few_queries_however_long_the_log(tmp_path: Path) -> None:
    with closing(log_of(tmp_path, [30] * 200)) as store, store.read() as session:
        stored, asked = StoredTree(session), []
        event.listen(session.connection(), "before_cursor_execute", lambda *all: asked.append(all))
        stored.inclusion(1234, 6000)
        assert 0 < len(asked) < 6 * 13  # 13 levels


def test_an_empty_log_has_no_proof(tmp_path: Path) -> None:
    with closing(Store(tmp_path / "collegium.db")) as store, store.read() as session:
        assert StoredTree(session).size == 0
        with pytest.raises(ValueError, match="no such part in a tree of 0"):
            StoredTree(session).inclusion(0, 1)


def test_a_missing_entry_is_told_not_proven(tmp_path: Path) -> None:
    with closing(log_of(tmp_path, [40])) as store, store.transaction() as transaction:
        raw = transaction.session.connection().connection.driver_connection
        assert raw is not None
        without_guards(raw)
        transaction.session.execute(delete(LogEntryRow).where(LogEntryRow.idx == 17))
        with pytest.raises(StoreBroken, match="are missing"):
            StoredTree(transaction.session).inclusion(3, 40)
