"""The audit log: any change, loss, insertion, reordering or fork is found."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance.audit.log import LoggedEntry, LogHead, NewEntry, extend, verify_log
from protocol.encoding import digest
from protocol.errors import StoreBroken
from protocol.identity.roster import SigningKey
from protocol.log.merkle import leaf_hash, root

KEY = SigningKey.from_bytes(bytes(range(32)))


def log_of(sizes: list[int]) -> tuple[list[LoggedEntry], list[LogHead]]:
    """Returns a log that grew by these many entries at a time."""
    entries: list[LoggedEntry] = []
    heads: list[LogHead] = []
    for size in sizes:
        new = [
            NewEntry(type="result", run_id="r", payload=digest(b"%d" % (len(entries) + n)))
            for n in range(size)
        ]
        logged, head = extend(heads[-1] if heads else None, new, "2026-01-01T00:00:00.000Z", KEY)
        entries += logged
        heads.append(head)
    return entries, heads


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8))
def test_every_head_is_the_rfc_6962_root_of_its_entries(sizes: list[int]) -> None:
    entries, heads = log_of(sizes)
    leaves = [leaf_hash(entry.data) for entry in entries]
    for head in heads:
        assert head.root == root(leaves[: head.size])
    assert verify_log(entries, heads, KEY.public) == heads[-1].root


FAULTS = {
    "a changed byte": lambda e: [*e[:2], replace(e[2], data=e[2].data[:-2] + b'"}'), *e[3:]],
    "an entry removed": lambda e: [*e[:2], *e[3:]],
    "two entries swapped": lambda e: [e[1], e[0], *e[2:]],
    "the end cut off": lambda e: e[:-1],
    "an entry inserted": lambda e: [*e[:2], e[2], *e[2:]],
    "an entry appended": lambda e: [*e, replace(e[-1], index=len(e))],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_log_that_was_tampered_with_is_refused(fault: str) -> None:
    entries, heads = log_of([2, 3, 1])
    with pytest.raises(StoreBroken, match="audit|log|head"):
        verify_log(FAULTS[fault](entries), heads, KEY.public)


def test_a_consistent_rewrite_is_found_by_the_signed_head() -> None:
    entries, heads = log_of([2, 3])
    other = NewEntry(type="result", run_id="r", payload=digest(b"another history"))
    forged, _ = extend(heads[0], [other] * 3, "2026-01-01T00:00:00.000Z", KEY)
    with pytest.raises(StoreBroken, match="was rewritten"):
        verify_log([*entries[:2], *forged], heads, KEY.public)


def test_a_head_signed_by_somebody_else_is_refused() -> None:
    entries, heads = log_of([3])
    with pytest.raises(StoreBroken, match="is not signed by the log"):
        verify_log(entries, heads, SigningKey.generate().public)


def test_nothing_to_verify_is_a_failure() -> None:
    with pytest.raises(StoreBroken, match="no signed head"):
        verify_log([], [], KEY.public)
    entries, heads = log_of([2, 2])
    with pytest.raises(StoreBroken, match="not covered by a signed head"):
        verify_log(entries, heads[:1], KEY.public)


def test_head_whose_frontier_was_changed_is_found() -> None:
    entries, heads = log_of([2, 3])
    wrong = replace(heads[-1], frontier=(bytes(32), *heads[-1].frontier[1:]))
    with pytest.raises(StoreBroken, match="would be appended wrongly"):
        verify_log(entries, [*heads[:-1], wrong], KEY.public)
