"""One file of vectors: what it is about, what all its vectors share, and the vectors."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protocol.secagg.messages import ENTRY_BYTES
from tests.make_vectors.operations import OPERATIONS

#: A record that fits on such a line stands on one.
_WIDTH = 160

VECTORS = Path(__file__).parent.parent / "vectors"


class Sheet:
    """Collects vectors; the output of a good one is what the implementation says now."""

    def __init__(
        self,
        about: str,
        *,
        given: Mapping[str, Any] | None = None,
        names: Mapping[str, str] | None = None,
        recorded: Any = None,
    ) -> None:
        self._about, self._given, self._recorded = about, dict(given or {}), recorded
        self._vectors: list[dict[str, Any]] = []
        self._names = dict(names or {})
        known = self._names | placeholders(recorded)
        self._shorter = {text: name for name, text in known.items()}

    def add_given(self, **given: Any) -> None:
        """Adds what all vectors of the file share."""
        self._given |= given

    def good(self, name: str, operation: str, **given: Any) -> Any:
        """Adds a vector that is accepted, and returns its output."""
        known = self._given | given
        if self._recorded is not None:
            known["recorded"] = self._recorded
        output = OPERATIONS[operation](known)
        self._vectors.append(
            {
                "name": name,
                "operation": operation,
                "input": _replaced(given, self._shorter),
                "output": _replaced(output, self._shorter),
            }
        )
        return output

    def bad(self, name: str, operation: str, refused: str, because: str, **given: Any) -> None:
        """Adds a vector that is refused with this kind, and these words among others."""
        self._vectors.append(
            {
                "name": name,
                "operation": operation,
                "input": _replaced(given, self._shorter),
                "refused": refused,
                "because": because,
            }
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the file's content."""
        head: dict[str, Any] = {"about": self._about, "given": self._given}
        if self._names:
            head["names"] = self._names
        return head | {"vectors": self._vectors}


def placeholders(recorded: Any) -> dict[str, str]:
    """Returns what stands for the long texts of a recorded round, in vectors that are about it.

    ``<step>`` is the text of a step's request, ``<step/site>`` the base64 of a
    site's answer and ``<step/site text>`` its text, ``<owner for holder>`` the
    hexadecimal digits of an entry, ``<study_digest>`` and so on a digest in the
    context, ``<ctx>`` the context's own digest.
    """
    if recorded is None:
        return {}
    names = {f"<{step}>": part["request"]["text"] for step, part in recorded["steps"].items()}
    for step, part in recorded["steps"].items():
        for site, answer in part["answers"].items():
            message = answer["message"]
            wire = bytes.fromhex(message["signature"]) + message["text"].encode()
            names[f"<{step}/{site}>"] = base64.b64encode(wire).decode()
            names[f"<{step}/{site} text>"] = message["text"]
    shared = recorded["steps"]["share"]["answers"]
    for owner in shared:
        for place, holder in enumerate(shared):
            start = 2 * ENTRY_BYTES * place
            entry = shared[owner]["beside"][start : start + 2 * ENTRY_BYTES]
            names[f"<{owner} for {holder}>"] = entry
    digests = {
        f"<{name}>": value for name, value in recorded["context"].items() if _is_digest(value)
    }
    return names | digests | {"<ctx>": recorded["context_digest"]}


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64


def expanded(value: Any, names: Mapping[str, str]) -> Any:
    """Returns a vector's input or output with every placeholder replaced by what it stands for."""
    return _replaced(value, names)


def _replaced(value: Any, texts: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for old, new in texts.items():
            value = value.replace(old, new)
        return value
    if isinstance(value, Mapping):
        return {name: _replaced(entry, texts) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(entry, texts) for entry in value]
    return value


def written(content: Any) -> str:
    """Returns a vector file's text: JSON, broken where a line would be too long to read."""
    return _lines(content, 0) + "\n"


def _lines(value: Any, depth: int) -> str:
    whole = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if not isinstance(value, dict | list) or not value or depth + len(whole) <= _WIDTH:
        return whole
    inner = "\n" + " " * (depth + 1)
    if isinstance(value, list):
        parts = [_lines(entry, depth + 1) for entry in value]
        return f"[{inner}{f',{inner}'.join(parts)}]"
    parts = [
        f"{json.dumps(name, ensure_ascii=False)}: {_lines(entry, depth + 1)}"
        for name, entry in value.items()
    ]
    return f"{{{inner}{f',{inner}'.join(parts)}}}"


def read(name: str) -> Any:
    """Returns the content of a frozen vector file."""
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))
