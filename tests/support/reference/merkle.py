"""The Merkle tree of RFC 6962, section 2.1, as its definition reads: slow, recursive, obvious."""

import hashlib


def tree_hash(entries: list[bytes]) -> bytes:
    """MTH of the section: over the entries themselves, not their hashes."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = largest_power_below(len(entries))
    return hashlib.sha256(b"\x01" + tree_hash(entries[:k]) + tree_hash(entries[k:])).digest()


def audit_path(index: int, entries: list[bytes]) -> list[bytes]:
    """PATH of section 2.1.1."""
    if len(entries) == 1:
        return []
    k = largest_power_below(len(entries))
    if index < k:
        return [*audit_path(index, entries[:k]), tree_hash(entries[k:])]
    return [*audit_path(index - k, entries[k:]), tree_hash(entries[:k])]


def largest_power_below(size: int) -> int:
    """The largest power of two smaller than ``size``."""
    k = 1
    while 2 * k < size:
        k *= 2
    return k
