#!/usr/bin/env python3
"""Verifies an evidence bundle of Collegium without Collegium.

Usage::

    python verify_bundle.py BUNDLE --key KEY [--checkpoint NOTE]... [--witness KEY]...

It needs Python 3.11 or newer and the package ``cryptography``; it opens no connection and writes
nothing but a temporary copy of the bundle. KEY is the public key of the log, as 64 hexadecimal
digits, from somewhere that you trust; of a witness its Ed25519 key as the witness and a policy
write it (NAME+HASH+BASE64), or NAME=64 hexadecimal digits. NOTE is a signed head of the log that
somebody else kept.

It answers in sentences: what was checked, what is wrong, and what was not checked. Exit code 0:
nothing is wrong; 2: something is; 64: wrong usage.

Sources: RFC 6962, section 2.1 (the log's tree); C2SP signed-note and tlog-checkpoint v1.0.0 (its
heads), tlog-cosignature v1.0.1 (witnesses). Everything else is said where it is checked.
"""

import argparse
import base64
import hashlib
import json
import re
import struct
import sys
import tempfile
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FORM = "collegium-evidence/1"
MANIFEST = "manifest.json"
README_SHA256 = "a75ad31e1740c03343abc37c31e09ce3ca13818c71d2c84b6324b775c2f4254f"
MANIFEST_FIELDS = ["files", "form", "key", "root", "scope", "size"]
OTHER_NAMES = {"README.txt", "log/entries.jsonl", "log/heads.jsonl"}
TABLES = (
    "access_policy", "account", "accusation", "act", "alert", "alert_message", "certificate",
    "change", "cosignatures", "identity_link", "identity_login", "incident", "invitation",
    "legal_hold", "masked_message", "member", "model_event", "model_line", "person", "reference",
    "refused_login", "release", "roster", "round", "run", "run_manifest", "signed_snapshot",
    "snapshot", "study",
)  # fmt: skip
ENTRY_FIELDS = ["attempt", "payload", "record", "round", "run", "seq", "time", "type", "v"]
#: The column that says of which run a row of a table is; other tables are of none.
RUN_COLUMN = {
    "run": "id", "reference": "id", "round": "run_id", "accusation": "run_id",
    "release": "run_id", "run_manifest": "run_id", "snapshot": "run_id",
}  # fmt: skip
#: The column by which the rows of a table are ordered, where it is not ``id``.
KEY_COLUMN = {
    "study": "digest", "masked_message": "site", "invitation": "token_hash",
    "member": "public_key", "certificate": "serial", "roster": "digest", "cosignatures": "size",
    "access_policy": "version", "model_line": "name", "run_manifest": "run_id",
}  # fmt: skip
NOT_CHECKED = (
    "whether released figures follow from what the hospitals signed, sums from masked vectors, and "
    "models from sums: collegium audit verify and audit recompute do that",
    "what the coordinator's own software said when it logged it: times, environment, why a run "
    "failed. It is what was logged, and nobody else has signed it",
    "what happened inside the hospitals: their ledgers, approvals and patients are not in a bundle",
)


class Wrong(Exception):
    """Something in the bundle is not what it should be."""


class BundleFindings:
    """Sentences about what was checked, and about what is wrong."""

    def __init__(self) -> None:
        self.checked: list[str] = []
        self.wrong: list[str] = []
        self.not_checked = list(NOT_CHECKED)


def sha256(data: bytes) -> str:
    """Returns the SHA-256 of bytes as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature over a message is of this key."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


# --- the file -----------------------------------------------------------------------------------


def check_file(bundle: Path, whole: zipfile.ZipFile, found: BundleFindings) -> dict[str, Any]:
    """Checks each file's SHA-256, and that no other byte is in the bundle; returns the manifest."""
    if any(info.compress_type != zipfile.ZIP_STORED for info in whole.infolist()):
        raise Wrong("something in the bundle is compressed")
    data = whole.read(MANIFEST)
    manifest: dict[str, Any] = exactly(data, MANIFEST_FIELDS)
    if manifest["form"] != FORM:
        raise Wrong(f"the bundle is of the form {manifest['form']}, this program reads {FORM}")
    names = [file["name"] for file in manifest["files"]]
    beside = {name for name in names if not name.startswith("files/")}
    if beside != OTHER_NAMES | {f"records/{table}.jsonl" for table in TABLES}:
        raise Wrong("the bundle holds other files beside models and rounds than every bundle does")
    if manifest["scope"] not in ("all", "records") or (
        manifest["scope"] == "records" and len(beside) != len(names)
    ):
        raise Wrong("the bundle does not hold what its manifest says")
    if whole.namelist() != [*names, MANIFEST] or names != sorted(set(names)):
        raise Wrong("the files in the bundle are not those that its manifest names")
    with tempfile.TemporaryFile() as again:
        with zipfile.ZipFile(again, "w", zipfile.ZIP_STORED) as packed:
            for file in [*manifest["files"], {"name": MANIFEST, "size": len(data)}]:
                computed = copy_member(whole, packed, file["name"], file["size"])
                if file["name"] != MANIFEST and computed != file["sha256"]:
                    raise Wrong(f"{file['name']} was changed: its SHA-256 is another")
        again.seek(0)
        with bundle.open("rb") as given:
            while part := given.read(1 << 20):
                if part != again.read(len(part)):
                    raise Wrong("the bundle holds bytes that are of none of its files")
            if again.read(1):
                raise Wrong("the bundle was cut")
    if sha256(whole.read("README.txt")) != README_SHA256:
        raise Wrong("README.txt is not the one that belongs to a bundle")
    found.checked.append(f"the bundle {sha256(data)}: {len(names)} files, each by its SHA-256")
    return manifest


def exactly(data: bytes, fields: list[str]) -> Any:
    """Returns what JSON holds that has exactly these fields, in the one form that bundles have."""
    value = json.loads(data)
    plain = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    if plain != data or sorted(value) != fields:
        raise Wrong(f"{data[:60]!r} was changed: it has another form")
    return value


def copy_member(whole: zipfile.ZipFile, packed: zipfile.ZipFile, name: str, size: int) -> str:
    """Copies one file from a bundle to another; returns the SHA-256 of at most ``size`` bytes."""
    header = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    header.create_system, header.external_attr, header.file_size = 3, 0o600 << 16, size
    computed, left = hashlib.sha256(), size
    with whole.open(name) as source, packed.open(header, "w") as target:
        while part := source.read(min(1 << 20, left + 1)):
            left -= len(part)
            if left < 0:
                raise Wrong(f"{name} is longer than the manifest says")
            computed.update(part)
            target.write(part)
    return computed.hexdigest()


def lines(whole: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    """Yields the lines of a file of the bundle, each without its line feed."""
    with whole.open(name) as file:
        for line in file:
            if not line.endswith(b"\n"):
                raise Wrong(f"{name} has a line without an end")
            yield line[:-1]


# --- the log ------------------------------------------------------------------------------------


def check_log(
    whole: zipfile.ZipFile, manifest: dict[str, Any], key: bytes, found: BundleFindings
) -> tuple[list[dict[str, Any]], dict[int, bytes]]:
    """Checks entries against heads, and heads against the key; returns entries, roots by size."""
    heads = [exactly(line, ["note", "size"]) for line in lines(whole, "log/heads.jsonl")]
    notes = {head["size"]: head["note"].encode() for head in heads}
    if [head["size"] for head in heads] != sorted(notes):
        raise Wrong("the heads of the log are out of order")
    entries, roots, stack = list[dict[str, Any]](), dict[int, bytes](), list[bytes]()
    for number, data in enumerate(lines(whole, "log/entries.jsonl")):
        entry = exactly(data, ENTRY_FIELDS)
        if entry["seq"] != number:
            raise Wrong(f"entry {number} of the log is out of place")
        if number and entry["time"] != entries[-1]["time"] and number not in notes:
            raise Wrong(f"the head of {number} entries is missing: each append has its time")
        entries.append(entry)
        push(stack, number, hashlib.sha256(b"\x00" + data).digest())
        if number + 1 in notes:
            roots[number + 1] = root_of(stack)
    for size, note in sorted(notes.items()):
        if head_of(note, key) != (size, roots.get(size)):
            raise Wrong(f"the log's head of {size} entries is signed for other entries")
        if len(signatures(note)[1]) != 1:
            raise Wrong(f"the log's head of {size} entries holds signatures that are not the log's")
    newest = max(notes, default=0)
    if newest != len(entries) or not newest:
        raise Wrong(f"the newest head covers {newest} entries, the log has {len(entries)}")
    if [manifest[name] for name in ("size", "root", "key")] != [
        newest,
        roots[newest].hex(),
        key.hex(),
    ]:
        raise Wrong("the manifest names another head or key than the log has")
    found.checked.append(
        f"the log: {newest} entries hash to the root {roots[newest].hex()}, and {len(notes)} heads "
        f"are signed with the key {key.hex()}"
    )
    return entries, roots


def push(stack: list[bytes], size: int, leaf: bytes) -> None:
    """Adds a leaf to a tree of ``size`` leaves, kept as the roots of its complete subtrees."""
    while size & 1:
        leaf = hashlib.sha256(b"\x01" + stack.pop() + leaf).digest()
        size >>= 1
    stack.append(leaf)


def root_of(stack: list[bytes]) -> bytes:
    """Returns the root over a tree's complete subtrees."""
    computed = stack[-1]
    for subtree in reversed(stack[:-1]):
        computed = hashlib.sha256(b"\x01" + subtree + computed).digest()
    return computed


def origin_of(key: bytes) -> str:
    """Returns the name of the log that a key signs."""
    return f"collegium/audit/v1/{sha256(key)[:32]}"


def signatures(note: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    """Returns a note's text, and the name and bytes of each signature line."""
    text, _, signed = note.decode().rpartition("\n\n")
    return f"{text}\n", signature_lines(signed)


def signature_lines(signed: str) -> list[tuple[str, bytes]]:
    """Returns the name and bytes of each signature line."""
    found = []
    for line in signed.removesuffix("\n").split("\n"):
        mark, name, encoded = line.split(" ")
        if mark != "—":
            raise Wrong("a signature line of a head has another form")
        found.append((name, base64.b64decode(encoded, validate=True)))
        if base64.b64encode(found[-1][1]).decode() != encoded:
            raise Wrong("a signature line of a head has another form")
    return found


def key_id(name: str, kind: int, public: bytes) -> bytes:
    """Returns the four bytes that name a key in a signature line; kind 1 a log, 4 a witness."""
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def witness_key(text: str) -> tuple[str, bytes]:
    """Returns a witness's name and Ed25519 key: NAME+HASH+BASE64 (signed-note), or NAME=HEX."""
    name, hashed, encoded = [*text.split("+", 2), "", ""][:3]
    if not encoded:
        name, _, public = text.rpartition("=")
        key = bytes.fromhex(public)
    else:
        data = base64.b64decode(encoded, validate=True)
        key = data[1:]
        if data[:1] != b"\x04" or key_id(name, 4, key).hex() != hashed:
            raise ValueError(f"{text} is no key of a witness")
    if not name or len(key) != 32:
        raise ValueError(f"{text} is no key of a witness")
    return name, key


def head_of(note: bytes, key: bytes) -> tuple[int, bytes]:
    """Returns size and root of a head that the log's key has signed."""
    name = origin_of(key)
    text, signed = signatures(note)
    own = [data[4:] for who, data in signed if (who, data[:4]) == (name, key_id(name, 1, key))]
    if not own or not all(is_signed(key, text.encode(), one) for one in own):
        raise Wrong("a head of the log is not signed with the key that you gave")
    origin, size, root, end = text.split("\n")
    if origin != name or end:
        raise Wrong("a head is another log's")
    return int(size), base64.b64decode(root, validate=True)


def check_checkpoint(
    file: Path, key: bytes, roots: dict[int, bytes], found: BundleFindings
) -> None:
    """Checks that the log still begins with what a kept head was signed for."""
    size, root = head_of(file.read_bytes(), key)
    if size > max(roots):
        raise Wrong(f"{file.name} covers {size} entries, the log has {max(roots)}: it was cut")
    if roots.get(size) != root:
        raise Wrong(f"the first {size} entries are not those of {file.name}: the log was rewritten")
    found.checked.append(f"{file.name}: the log begins with the {size} entries that it was kept of")


# --- the records --------------------------------------------------------------------------------


def check_records(
    whole: zipfile.ZipFile, entries: list[dict[str, Any]], found: BundleFindings
) -> dict[str, list[dict[str, Any]]]:
    """Checks that each row is the one that was logged, and that none is missing; returns the rows.

    Each write of a row is an entry that names the SHA-256 of all that the row then says, and a row
    counts its own writes.
    """
    known = {entry["record"] for entry in entries} - {None}
    logged = Counter(entry["run"] for entry in entries if entry["record"] is not None)
    written: Counter[str | None] = Counter()
    rows: dict[str, list[dict[str, Any]]] = {}
    for name in whole.namelist():
        if not name.startswith("records/"):
            continue
        table = name.removeprefix("records/").removesuffix(".jsonl")
        for line in lines(whole, name):
            row = json.loads(line)
            if sha256(line) not in known or row["table"] != table:
                raise Wrong(f"a row of the table {table} is not what was logged")
            written[row.get(RUN_COLUMN.get(table, ""))] += row["revision"]
            rows.setdefault(table, []).append(row)
        keys = [row[KEY_COLUMN.get(table, "id")] for row in rows.get(table, [])]
        if keys != sorted(set(keys)):
            raise Wrong(f"the rows of the table {table} are out of order, or one is there twice")
    for run in sorted({*logged, *written}, key=str):
        if logged[run] != written[run]:
            raise Wrong(f"rows {'of the run ' + run if run else 'outside the runs'} are missing")
    total = sum(map(len, rows.values()))
    found.checked.append(f"the records: {total} rows are those that were logged, and all of them")
    return rows


def check_statements(
    rows: dict[str, list[dict[str, Any]]], entries: list[dict[str, Any]],
    roots: dict[int, bytes], key: bytes, found: BundleFindings,
) -> None:  # fmt: skip
    """Checks what others than the coordinator signed or agreed to: rosters, summaries, contexts."""
    signed_rosters = check_rosters(rows.get("roster", []), key, found)
    payloads = {(e["type"], e["run"], e["payload"]) for e in entries}
    signed = 0
    for study in rows.get("study", []):
        if sha256(bytes.fromhex(study["document"]["hex"])) != study["digest"]:
            raise Wrong(f"the study {study['name']} is not the document that was registered")
    for run in rows.get("run", []):
        if ("roster", run["id"], sha256(run["roster_json"].encode())) not in payloads:
            raise Wrong(f"the roster of run {run['id']} is not the one in the log")
        if not run["simulation"] and sha256(run["roster_json"].encode()) not in signed_rosters:
            raise Wrong(f"the roster of run {run['id']} is none that its members signed")
        keys = {m["site"]: m["public_key"] for m in json.loads(run["roster_json"])["members"]}
        for site, summary in json.loads(run["sites_json"]).items():
            message = b"collegium/v1/summary\n" + summary["data"].encode()
            said = json.loads(summary["data"])
            if (said["site"], said["run_id"]) != (site, run["id"]) or not is_signed(
                bytes.fromhex(keys[site]), message, bytes.fromhex(summary["signature"])
            ):
                raise Wrong(f"the privacy summary of {site} in run {run['id']} is not its own")
            signed += 1
    opened = {e["payload"]: e["seq"] for e in entries if e["type"] == "round-opened"}
    for row in rows.get("round", []):
        context, where = json.loads(row["context_json"]), f"a round of run {row['run_id']}"
        if sha256(row["context_json"].encode()) != row["context"] or row["context"] not in opened:
            raise Wrong(f"{where} is not what was logged")
        size, root = context["log_size"], bytes.fromhex(context["log_root"])
        if size > opened[row["context"]] or roots.get(size) != root:
            raise Wrong(f"{where} was opened under another history")
    found.checked.append(
        f"the hospitals: {signed} signed privacy summaries are their own by the keys in the "
        f"rosters; {len(rows.get('round', []))} rounds were opened under heads of this log"
    )


def check_rosters(rows: list[dict[str, Any]], key: bytes, found: BundleFindings) -> set[str]:
    """Checks that all members signed the first roster, and two thirds each one after it.

    Returns their digests.
    """
    before: dict[str, str] = {}
    chain = sorted((row for row in rows if row["state"] == "signed"), key=lambda r: r["version"])
    for row in chain:
        document = bytes.fromhex(row["document"]["hex"])
        roster = json.loads(document)
        members = {m["site"]: m["public_key"] for m in roster["members"]}
        votes = json.loads(row["signatures_json"])
        needed = 2 * len(before) // 3 + 1 if before else len(members)
        voters = before or members
        genuine = all(
            site in voters
            and is_signed(
                bytes.fromhex(voters[site]),
                b"collegium/v1/roster\n" + document,
                bytes.fromhex(signature),
            )
            for site, signature in votes.items()
        )
        if not genuine or len(votes) < needed or roster["coordinator"]["public_key"] != key.hex():
            raise Wrong(f"roster {row['version']} is not what its members signed")
        before = members
    if chain:
        found.checked.append(f"the members: {len(chain)} rosters follow from each other")
    else:
        found.not_checked.append("whose the hospitals' keys are: no roster was signed (simulated)")
    return {sha256(bytes.fromhex(row["document"]["hex"])) for row in chain}


def check_cosignatures(
    whole: zipfile.ZipFile, rows: dict[str, list[dict[str, Any]]],
    witnesses: dict[str, bytes], found: BundleFindings,
) -> None:  # fmt: skip
    """Checks who has cosigned which heads: hospitals by their rosters' keys, witnesses by yours.

    A cosignature says that its signer has seen one history up to that head. Lines of keys that are
    not known, or of another form (ML-DSA), are counted and not checked.
    """
    heads = {h["size"]: h["note"] for h in map(json.loads, lines(whole, "log/heads.jsonl"))}
    known = {(name, key_id(name, 4, public)): public for name, public in witnesses.items()}
    for run in rows.get("run", []):
        for member in json.loads(run["roster_json"])["members"]:
            public = bytes.fromhex(member["public_key"])
            name = f"collegium/witness/v1/{member['site']}"
            known[name, key_id(name, 4, public)] = public
    newest: dict[str, int] = {}
    unknown, by_size = 0, defaultdict[int, set[str]](set)
    for row in rows.get("cosignatures", []):
        text = signatures(heads[row["size"]].encode())[0]
        for name, data in signature_lines(row["lines"]):
            if (name, data[:4]) not in known:
                unknown += 1
                continue
            (time,) = struct.unpack(">Q", data[4:12])
            message = f"cosignature/v1\ntime {time}\n{text}".encode()
            if not is_signed(known[name, data[:4]], message, data[12:]):
                raise Wrong(f"the cosignature of {name} on {row['size']} entries is not its own")
            newest[name] = row["size"]
            by_size[row["size"]].add(name)
    if missing := sorted(set(witnesses) - set(newest)):
        raise Wrong(f"{missing[0]} has cosigned no head of this log with the key that you gave")
    for name, size in sorted(newest.items()):
        found.checked.append(f"{name} has cosigned the log up to {size} entries")
    contexts = [json.loads(row["context_json"]) for row in rows.get("round", [])]
    if contexts:
        least = min(len(by_size[context["log_size"]] - set(witnesses)) for context in contexts)
        found.checked.append(
            f"each round began under a head that {least} or more hospitals have cosigned"
        )
    if unknown:
        found.not_checked.append(f"{unknown} cosignatures by keys that nobody gave: --witness")


def check_files(
    whole: zipfile.ZipFile, rows: dict[str, list[dict[str, Any]]],
    entries: list[dict[str, Any]], found: BundleFindings,
) -> None:  # fmt: skip
    """Checks models, their manifests, the transcripts of kept rounds, and the page."""
    names = set(whole.namelist())
    models = {row["model_digest"]: json.loads(row["manifest_json"]) for row in
              rows.get("snapshot", [])}  # fmt: skip
    for name, manifest in models.items():
        data = whole.read(f"files/snapshots/{name}.safetensors")
        said = manifest | {"model_digest": name, "file_sha256": sha256(data)}
        beside = json.dumps(said, sort_keys=True, indent=2).encode()
        if model_digest(data) != name or whole.read(f"files/snapshots/{name}.json") != beside:
            raise Wrong(f"the model {name} or its manifest was changed")
    transcripts = {e["payload"] for e in entries if e["type"] == "transcript"}
    contexts = {row["context"]: json.loads(row["context_json"]) for row in rows.get("round", [])}
    kept = {name.split("/")[2] for name in names if name.startswith("files/rounds/")}
    for context in sorted(kept):
        place = f"files/rounds/{context}"
        model = model_digest(whole.read(f"{place}/model.safetensors"))
        if (
            sha256(whole.read(f"{place}/transcript.json")) not in transcripts
            or model != contexts[context]["model_hash"]
        ):
            raise Wrong(f"what is kept of the round {context} is not what was logged")
    pages = [e["payload"] for e in entries if e["type"] == "page"]
    if pages and sha256(whole.read("files/index.html")) != pages[-1]:
        raise Wrong("index.html is not the page that was logged last")
    known = re.compile(
        r"files/(index\.html|snapshots/[0-9a-f]{64}\.(safetensors|json)|rounds/[0-9a-f]{64}/"
        r"(transcript\.json|model\.safetensors|[0-9a-f]{64}\.vector))"
    )
    strange = [n for n in names if n.startswith("files/") and not known.fullmatch(n)]
    beyond = [n for n in names if n.startswith("files/snapshots/") and n[16:80] not in models]
    if strange or beyond or (not pages and "files/index.html" in names):
        raise Wrong("the bundle holds a file that no record names")
    found.checked.append(
        f"the files: {len(models)} models, transcripts and first models of {len(kept)} kept rounds"
    )
    if kept:
        found.not_checked.append(
            "the masked vectors of kept rounds: they are named by BLAKE3, which Python lacks"
        )


def model_digest(data: bytes) -> str:
    """Returns the SHA-256 over a model's layout and parameters, from its safetensors bytes."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    names = sorted(header)
    layout = [[name, header[name]["shape"]] for name in names]
    plain = json.dumps(layout, separators=(",", ":"), ensure_ascii=False)
    state = hashlib.sha256(sha256(plain.encode()).encode())
    for name in names:
        begin, end = header[name]["data_offsets"]
        state.update(data[8 + length + begin : 8 + length + end])
    return state.hexdigest()


# --- the command --------------------------------------------------------------------------------


def verify(
    bundle: Path,
    key: bytes,
    checkpoints: list[Path] | None = None,
    witnesses: dict[str, bytes] | None = None,
) -> BundleFindings:
    """Returns what was found; a check that fails ends those that rest on it."""
    found = BundleFindings()
    try:
        with zipfile.ZipFile(bundle) as whole:
            manifest = check_file(bundle, whole, found)
            entries, roots = check_log(whole, manifest, key, found)
            for file in checkpoints or []:
                check_checkpoint(file, key, roots, found)
            rows = check_records(whole, entries, found)
            check_statements(rows, entries, roots, key, found)
            check_cosignatures(whole, rows, witnesses or {}, found)
            if manifest["scope"] == "all":
                check_files(whole, rows, entries, found)
            else:
                found.not_checked.append("models and kept rounds: they were left out of the bundle")
    except Wrong as error:
        found.wrong.append(str(error))
    except (OSError, zipfile.BadZipFile, struct.error, ValueError, LookupError, TypeError,
            AttributeError, EOFError, NotImplementedError, RuntimeError) as error:  # fmt: skip
        found.wrong.append(f"the bundle is damaged: {type(error).__name__}: {error}")
    if not checkpoints and not witnesses:
        found.not_checked.append(
            "whether the whole log was written anew by whoever holds its key: give --checkpoint, a "
            "head that somebody else kept, or --witness with a key that you trust"
        )
    return found


def main() -> int:
    """Verifies as the command line asks; returns the exit code."""
    parser = argparse.ArgumentParser(description="Verifies an evidence bundle of Collegium.")
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--key", required=True, help="the log's public key, hexadecimal")
    parser.add_argument("--checkpoint", type=Path, action="append", default=[], metavar="NOTE")
    parser.add_argument("--witness", action="append", default=[], metavar="KEY")
    given = parser.parse_args()
    try:
        key = bytes.fromhex(given.key)
        witnesses = dict(witness_key(one) for one in given.witness)
        if len(key) != 32:
            raise ValueError
    except ValueError:
        print(
            "--key takes 64 hexadecimal digits; --witness the Ed25519 key of a witness, as it or a "
            "policy writes it (NAME+HASH+BASE64), or NAME=64 hexadecimal digits", file=sys.stderr,
        )  # fmt: skip
        return 64
    found = verify(given.bundle, key, given.checkpoint, witnesses)
    for heading, said in (("checked", found.checked), ("not checked", found.not_checked),
                          ("WRONG", found.wrong)):  # fmt: skip
        for sentence in said:
            print(f"{heading}: {sentence}")
    print("NOT verified" if found.wrong else "verified: all that was checked is as it should be")
    return 2 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
