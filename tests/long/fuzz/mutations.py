"""Ways to spoil an honest input: of bytes, of a JSON tree, of text that people write.

Everything is drawn from one ``random.Random``: the same seed spoils alike.
"""

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeAlias

from protocol.encoding import canonical

Tree: TypeAlias = Any
Part = tuple[Any, Any]

#: Bytes that decoders treat in a way of their own.
_TOKENS = (
    b"", b"\0", b"\n", b"\n\n", b"\r\n", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xc0\xaf",
    b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"\\u0000", b"\\ud800", b"-0", b"1e9",
    b"1e400", b"NaN", b"Infinity", b"null", b"true", b" ", b"=", b"+", b"\xe2\x80\x94 ",
    b"9" * 400, b"\xff" * 8, bytes(8), b"\x7f" + b"\xff" * 7,
)  # fmt: skip

#: Where a JSON tree is written, this text gives way to bytes that no tree can hold.
_HOLE = "hole-in-the-tree"
_RAW = (
    b"NaN", b"-Infinity", b"1e400", b"1e5", b"1.0", b"-0", b"00", b"+1", b"0x1", b"tru",
    b"9" * 5000, b"-" + b"9" * 20, b'"\\ud800"', b'"\xed\xa0\x80"', b'"\xff"', b'"\\u0061"', b"'a'",
    b"1,2", b'1,"v":1', b'1,"body":{}', b'{"a":1,"a":1}', b'{"b":1,"a":1}', b"[" * 5000,
    b"[" * 900 + b"]" * 900, b'{"a":' * 700 + b"1" + b"}" * 700, b"[1,]", b"\0", b"",
    b'"' + b"x" * 3000 + b'"', b"[" + b"0," * 900 + b"0]", b"{}" + b" " * 9,
)  # fmt: skip
_VALUES: tuple[Tree, ...] = (
    None, True, False, 0, 1, -1, 2, 255, 2**31, 2**53 - 1, 2**53, 2**64, -(2**63), 10**400, 0.0,
    -0.0, 0.5, 1e-7, 1e308, float("nan"), float("inf"), "", "a", "A" * 64, "0" * 64, "f" * 63,
    "0" * 66, "é" * 32, "\ud800", "\0", "\x7f", "a\nb", "coordinator", "site-00", "../x", "=",
    "====", "AAAA", "AAA=", "AB==", "AA=A", "_-_-", "counts", "1e+308", "5e-324", "1e400",
    "16.00", ".", "-1.0", "nan", "training", "²", "٣", "x" * 5000, [], {}, [[]], [{}], {"": 0},
    {"a": {"a": {}}}, [0] * 300,
)  # fmt: skip


def spoil_bytes(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Returns bytes with one to four changes; ``others`` are spliced in."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        data = random.choice(_BYTE_CHANGES)(random, data, others)
    return data


def _place(random: Random, data: bytes) -> int:
    return random.randrange(len(data) + 1)


def _flip(random: Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    if not data:
        return b"\1"
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1 :]


def _delete(random: Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    at = _place(random, data)
    return data[:at] + data[at + random.choice((1, 1, 2, 8, 64)) :]


def _insert(random: Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    at = _place(random, data)
    token = random.choice(_TOKENS) if random.random() < 0.7 else random.randbytes(3)
    return data[:at] + token + data[at:]


def _replace(random: Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    at = _place(random, data)
    token = random.choice(_TOKENS)
    return data[:at] + token + data[at + len(token) :]


def _duplicate(random: Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    start, stop = sorted((_place(random, data), _place(random, data)))
    return data[:stop] + data[start:stop] * random.choice((1, 1, 3)) + data[stop:]


def _truncate(random: Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    return data[: _place(random, data)]


def _splice(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = random.choice(others) if others else data
    return data[: _place(random, data)] + other[_place(random, other) :]


_BYTE_CHANGES = (_flip, _flip, _delete, _insert, _replace, _duplicate, _truncate, _splice)


def spoil_tree(random: Random, tree: Tree, others: Sequence[Tree]) -> bytes:
    """Returns the bytes of a JSON tree with one to three changes, canonical where that is possible.

    ``others`` are trees whose parts are spliced in. The tree itself is kept.
    """
    tree, raw = copied(tree), b""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if not raw and random.random() < 0.15:
            raw = random.choice(_RAW)
            tree = _changed(random, tree, lambda _part: _HOLE)
        else:
            tree = random.choice(_TREE_CHANGES)(random, tree, others)
    data = written(tree)
    return data.replace(b'"' + _HOLE.encode() + b'"', raw) if raw else data


def copied(tree: Tree) -> Tree:
    """Returns a tree that shares no list and no dict with this one."""
    if isinstance(tree, dict):
        return {key: copied(value) for key, value in tree.items()}
    return [copied(value) for value in tree] if isinstance(tree, list) else tree


def written(tree: Tree) -> bytes:
    """Returns canonical bytes, or the nearest to them where a value has none."""
    try:
        return canonical(tree)
    except ValueError:
        text = json.dumps(tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return text.encode("utf-8", "surrogatepass")


def parts(tree: Tree) -> list[Part]:
    """Returns (container, key) of every value below the root."""
    found: list[Part] = []
    waiting = [tree] if isinstance(tree, dict | list) else []
    while waiting:
        node = waiting.pop()
        keys = list(node) if isinstance(node, dict) else range(len(node))
        for key in keys:
            found.append((node, key))
            if isinstance(node[key], dict | list):
                waiting.append(node[key])
    return found


def _changed(random: Random, tree: Tree, change: Callable[[Tree], Tree]) -> Tree:
    places = parts(tree)
    if not places or random.random() < 0.02:
        return change(tree)
    node, key = random.choice(places)
    node[key] = change(node[key])
    return tree


def _retype(random: Random, tree: Tree, _others: Sequence[Tree]) -> Tree:
    return _changed(random, tree, lambda _part: copied(random.choice(_VALUES)))


def _nudge(random: Random, tree: Tree, _others: Sequence[Tree]) -> Tree:
    def change(value: Tree) -> Tree:
        if isinstance(value, str) and value:
            at = random.randrange(len(value))
            return value[:at] + random.choice(("", "0", "A", "=", "é", "g", "/")) + value[at + 1 :]
        if isinstance(value, int):
            return value + random.choice((-1, 1, 2**31))
        if isinstance(value, float):
            return value * random.choice((-1, 1 + 1e-9, 1e9))
        return [value]

    return _changed(random, tree, change)


def _graft(random: Random, tree: Tree, others: Sequence[Tree]) -> Tree:
    other = random.choice(others) if others else tree
    places = parts(other)
    if not places:
        return tree
    node, key = random.choice(places)
    return _changed(random, tree, lambda _part: copied(node[key]))


def _drop(random: Random, tree: Tree, _others: Sequence[Tree]) -> Tree:
    places = parts(tree)
    if places:
        node, key = random.choice(places)
        del node[key]
    return tree


def _grow(random: Random, tree: Tree, _others: Sequence[Tree]) -> Tree:
    places = parts(tree)
    if not places:
        return tree
    node, key = random.choice(places)
    value = copied(random.choice((node[key], *_VALUES)))
    if isinstance(node, list):
        node.insert(random.randrange(len(node) + 1), value)
    else:
        node[random.choice(("", "a", "site-99", "é", "coordinator", "x" * 64, str(key) + "_"))] = (
            value
        )
    return tree


def _rename(random: Random, tree: Tree, _others: Sequence[Tree]) -> Tree:
    places = [(node, key) for node, key in parts(tree) if isinstance(node, dict)]
    if places:
        node, key = random.choice(places)
        node[random.choice((key.upper(), key[:-1], "site-00", "site-01", "\ud800"))] = node.pop(key)
    return tree


def _swap(random: Random, tree: Tree, _others: Sequence[Tree]) -> Tree:
    places = parts(tree)
    leaves = [(node, key) for node, key in places if not isinstance(node[key], dict | list)]
    if len(leaves) > 1:
        (one, a), (two, b) = random.sample(leaves, 2)
        one[a], two[b] = two[b], one[a]
    return tree


_TREE_CHANGES = (_retype, _retype, _nudge, _nudge, _graft, _drop, _grow, _rename, _swap)


def spoil_text(random: Random, text: str, tokens: Sequence[str]) -> str:
    """Returns text of lines with one to three changes; ``tokens`` are what its readers know."""
    for _ in range(random.choice((1, 1, 2, 3))):
        text = random.choice(_TEXT_CHANGES)(random, text, tokens)
    return text


def _put_token(random: Random, text: str, tokens: Sequence[str]) -> str:
    at = random.randrange(len(text) + 1)
    return text[:at] + random.choice(tokens) + text[at + random.choice((0, 0, 1, 4)) :]


def _replace_value(random: Random, text: str, tokens: Sequence[str]) -> str:
    """Puts a token in a value's place: after a colon or a comma, or inside a list."""
    starts = [place for place, character in enumerate(text) if character in ":,["]
    if not starts:
        return text
    start = random.choice(starts) + 1
    stop = start
    while stop < len(text) and text[stop] not in ",]}\n":
        stop += 1
    return f"{text[:start]} {random.choice(tokens)}{text[stop:]}"


def _move_line(random: Random, text: str, _tokens: Sequence[str]) -> str:
    lines = text.split("\n")
    at = random.randrange(len(lines))
    line = lines[at] if random.random() < 0.5 else lines.pop(at)
    if random.random() < 0.7:
        lines.insert(random.randrange(len(lines) + 1), " " * random.randrange(3) + line)
    return "\n".join(lines)


def _cut(random: Random, text: str, _tokens: Sequence[str]) -> str:
    at = random.randrange(len(text) + 1)
    return text[:at] + text[at + random.choice((1, 1, 5, 50)) :]


_TEXT_CHANGES = (_put_token, _replace_value, _replace_value, _replace_value, _move_line, _cut)
