"""Random tampering with a bundle, by three kinds of forgers.

* One who changes bytes of the file.
* One who unpacks it, changes files, and packs it again with a manifest that fits.
* The holder of the log's own key, who writes another history and signs every head anew.
"""

import hashlib
import io
import json
import random
from collections.abc import Callable
from pathlib import Path

from collegium.verification.bundle.packing import pack, unpack
from protocol.encoding import canonical
from protocol.identity.roster import SigningKey
from protocol.log.merkle import Frontier, leaf_hash
from protocol.log.signed_note import checkpoint_text, log_origin, sign_note

Files = dict[str, bytes]


class Forger:
    """Makes changed bundles of one bundle.

    Args:
        bundle: the true one.
        folder: an empty folder for its files.
        key: the log's.
        spared: whether a file, by its name, is left as it is by who packs the bundle again.
    """

    def __init__(
        self,
        bundle: Path,
        folder: Path,
        key: SigningKey,
        spared: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self._whole, self._folder, self._key = bundle.read_bytes(), folder, key
        manifest = unpack(bundle, folder / "true")
        self._files = {f.name: (folder / "true" / f.name).read_bytes() for f in manifest.files}
        self._spared = spared
        self._about = {name: getattr(manifest, name) for name in ("key", "size", "root", "scope")}

    def forged(self, number: int) -> bytes:
        """Returns a changed bundle, another one for each number."""
        chance = random.Random(number)
        kind = (self._bytes_changed, self._packed_again, self._signed_again)[number % 3]
        while (changed := kind(chance)) == self._whole:
            pass
        return changed

    def _bytes_changed(self, chance: random.Random) -> bytes:
        return changed_bytes(self._whole, chance)

    def _packed_again(self, chance: random.Random) -> bytes:
        files = dict(self._files)
        names = [name for name, data in files.items() if data and not self._spared(name)]
        name = chance.choice(sorted(names))
        act = chance.randrange(8)
        if act == 0 and not name.startswith("records/"):
            del files[name]
        elif act == 1:
            other = chance.choice(sorted(name for name in files if not self._spared(name)))
            files[name], files[other] = files[other], files[name]
        elif act == 2:
            files[f"files/snapshots/{chance.randbytes(32).hex()}.json"] = b"{}"
        elif name.endswith(".jsonl") and act < 6:
            files[name] = changed_lines(files[name], chance)
        else:
            files[name] = changed_bytes(files[name], chance)
        return self._packed(files, self._about)

    def _signed_again(self, chance: random.Random) -> bytes:
        """Another history under the log's own key: its records may fit it or not."""
        files = dict(self._files)
        lines = files["log/entries.jsonl"].splitlines()
        at = chance.randrange(len(lines))
        entry, other = json.loads(lines[at]), chance.randbytes(32).hex()
        acts: list[Callable[[], object]] = [
            lambda: lines.pop(at),
            lambda: lines.insert(at, lines[chance.randrange(len(lines))]),
            lambda: lines.__setitem__(slice(at, None), []),
            lambda: lines.append(canonical(entry | {"type": "release"})),
            lambda: lines.__setitem__(at, canonical(entry | {"payload": other})),
            lambda: lines.__setitem__(at, canonical(entry | {"time": "2020-01-01T00:00:00.000Z"})),
            lambda: chance.shuffle(lines),
        ]
        act = chance.choice(acts)
        if act is acts[3]:  # what comes after a kept head may be added: so that head is taken back
            lines.pop(at)
        act()
        lines = [canonical(json.loads(line) | {"seq": seq}) for seq, line in enumerate(lines)]
        sizes = {json.loads(head)["size"] for head in files["log/heads.jsonl"].splitlines()}
        frontier, heads = Frontier.empty(), []
        for line in lines:
            frontier = frontier.append(leaf_hash(line))
            if frontier.size in sizes or frontier.size == len(lines):
                heads.append(self._head(frontier))
        files["log/entries.jsonl"] = b"".join(line + b"\n" for line in lines)
        files["log/heads.jsonl"] = b"".join(head + b"\n" for head in heads)
        about = self._about | {"size": frontier.size, "root": frontier.root.hex()}
        return self._packed(files, about)

    def _head(self, frontier: Frontier) -> bytes:
        origin = log_origin(self._key.public)
        note = sign_note(checkpoint_text(origin, frontier.size, frontier.root), origin, self._key)
        return canonical({"note": note.decode(), "size": frontier.size})

    def _packed(self, files: Files, about: dict[str, object]) -> bytes:
        parts = {}
        for name, data in files.items():
            # Files are kept by content, so that each is written once.
            parts[name] = self._folder / hashlib.sha256(data).hexdigest()
            if not parts[name].exists():
                parts[name].write_bytes(data)
        to = io.BytesIO()
        pack(parts, about, to)
        return to.getvalue()


def changed_bytes(data: bytes, chance: random.Random) -> bytes:
    """Returns the bytes with one bit flipped, some cut out, doubled, added or cut off."""
    at = chance.randrange(len(data))
    end = min(len(data), at + 1 + chance.randrange(64))
    return chance.choice(
        (
            data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :],
            data[:at] + data[end:],
            data[:at] + data[at:end] * 2 + data[end:],
            data[:at] + chance.randbytes(1 + chance.randrange(9)) + data[at:],
            data[:at],
        )
    )


def changed_lines(data: bytes, chance: random.Random) -> bytes:
    """Returns the lines with one removed, doubled, moved or put in another's place."""
    lines = data.splitlines(keepends=True)
    at, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    act = chance.randrange(4)
    if act == 0:
        del lines[at]
    elif act == 1:
        lines.insert(other, lines[at])
    elif act == 2:
        lines[at], lines[other] = lines[other], lines[at]
    else:
        lines[at] = lines[other]
    return b"".join(lines)
