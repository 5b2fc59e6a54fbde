"""The operations about released models: snapshots, and statements of what a hospital served."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from protocol.codec import from_json, to_json
from protocol.identity.roster import SigningKey, parse_roster
from protocol.transport.serving_statement import (
    ServingStatement,
    parse_serving_statement,
    sign_serving,
)
from protocol.transport.snapshot import (
    Snapshot,
    cosign_snapshot,
    parse_snapshot,
    sign_snapshot,
)

Given: TypeAlias = Mapping[str, Any]


def _fields(given: Given) -> dict[str, Any]:
    return {**given["fields"], **given.get("changes", {})}


def _snapshot(given: Given) -> dict[str, str]:
    made = from_json(Snapshot, _fields(given))
    return {"text": made.canonical_bytes.decode(), "digest": made.digest}


def _sign_snapshot(given: Given) -> str:
    """The signed snapshot: the coordinator's key first, then each hospital's, by its site."""
    made, roster = from_json(Snapshot, _fields(given)), parse_roster(given["roster"].encode())
    signed = sign_snapshot(made, SigningKey.from_bytes(bytes.fromhex(given["coordinator"])))
    for site, private in given["hospitals"].items():
        key = SigningKey.from_bytes(bytes.fromhex(private))
        signed = signed.with_signature(site, cosign_snapshot(made, key), roster)
    return signed.to_bytes().decode()


def _require_snapshot(given: Given) -> str:
    signed = parse_snapshot(given["text"].encode())
    signed.require_signed(bytes.fromhex(given["public"]), parse_roster(given["roster"].encode()))
    return signed.snapshot.digest


def _statement(given: Given) -> dict[str, str]:
    made = from_json(ServingStatement, _fields(given))
    return {"text": made.canonical_bytes.decode(), "digest": made.digest}


def _sign_statement(given: Given) -> str:
    key = SigningKey.from_bytes(bytes.fromhex(given["private"]))
    return sign_serving(from_json(ServingStatement, _fields(given)), key).to_bytes().decode()


def _require_statement(given: Given) -> str:
    signed = parse_serving_statement(given["text"].encode())
    signed.require_signed(bytes.fromhex(given["public"]))
    return signed.statement.digest


RELEASED: Mapping[str, Callable[[Given], Any]] = {
    "snapshot": _snapshot,
    "parse_snapshot": lambda given: to_json(parse_snapshot(given["text"].encode())),
    "sign_snapshot": _sign_snapshot,
    "require_snapshot": _require_snapshot,
    "serving_statement": _statement,
    "parse_serving": lambda given: to_json(parse_serving_statement(given["text"].encode())),
    "sign_serving": _sign_statement,
    "require_serving": _require_statement,
}
