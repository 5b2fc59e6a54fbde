"""A folder of encrypted models: where their files lie, and what they must be.

::

    FOLDER/<model>.age-header     who can decrypt: the header of the newest generation
    FOLDER/<model>.age-payload    the model; header and payload in a row are an age file
    FOLDER/<model>.record.jsonl   see ``record.py``

The record says which header counts. One that a re-wrap wrote beside the old one is taken from there
where the re-wrap was cut off before it was in place (``writer.py``).
"""

import hashlib
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from compliance.storage.atomic_file import open_regular, read_whole
from compliance.storage.encryption.history import WeightsHistory, read_history
from compliance.storage.encryption.model_file import PIECE
from compliance.storage.encryption.record import WeightsManifest
from protocol.encoding import digest
from protocol.errors import FederationError, MessageRefused, PolicyRefused, StoreBroken

#: Where a coordinator or a hospital keeps encrypted models in its folder.
WEIGHTS = "weights"
_HEADER, _PAYLOAD, _RECORD, _NEXT = ".age-header", ".age-payload", ".record.jsonl", ".next"
_MODEL = re.compile(r"[0-9a-f]{64}")
#: What keeps two processes from changing the folder at once, and from sealing one model at once.
LOCK, SEALING = ".lock", ".{model}.sealing"


@dataclass(frozen=True, kw_only=True)
class WeightsFound:
    """The contents of a folder of encrypted models, as they were checked.

    Attributes:
        histories: by model, those whose record is whole and signed.
        faults: what is wrong, a sentence each.
        files: the names of all files that were looked at.
    """

    histories: Mapping[str, WeightsHistory]
    faults: tuple[str, ...]
    files: frozenset[str]


class WeightsFolder:
    """The encrypted models of a folder.

    Args:
        root: the folder; it need not be there.
        trusted: public keys (32 bytes) under which decisions are taken.
    """

    def __init__(self, root: Path, trusted: Collection[bytes]) -> None:
        self.root = root
        self._trusted = frozenset(trusted)

    def models(self) -> tuple[str, ...]:
        """Returns the digests of the models that have a record, sorted."""
        found = [path.name.removesuffix(_RECORD) for path in self.root.glob(f"*{_RECORD}")]
        return tuple(sorted(name for name in found if _MODEL.fullmatch(name)))

    def find(self, beginning: str) -> str:
        """Returns the digest of the one model that begins so.

        Raises:
            PolicyRefused: there is none, or more than one.
        """
        found = [name for name in self.models() if name.startswith(beginning)]
        if len(found) != 1 or not beginning:
            told = "no encrypted model" if not found else f"{len(found)} encrypted models"
            raise PolicyRefused(
                f"{told} in {self.root} begin with {beginning[:64]!r}: weights list"
            )
        return found[0]

    def payload_file(self, model: str) -> Path:
        """Returns the place of a model's payload."""
        return self.root / f"{model}{_PAYLOAD}"

    def record_file(self, model: str) -> Path:
        """Returns the place of a model's record."""
        return self.root / f"{model}{_RECORD}"

    def header_file(self, model: str) -> Path:
        """Returns the place of a model's header."""
        return self.root / f"{model}{_HEADER}"

    def next_header_file(self, model: str) -> Path:
        """Returns the place of a header whose event is about to be written."""
        return self.root / f"{model}{_HEADER}{_NEXT}"

    def history(self, model: str) -> WeightsHistory:
        """Returns a model's history, every line and signature checked.

        Raises:
            PolicyRefused: a model has no such digest.
            StoreBroken: the record is missing, or was changed.
            MessageRefused: a decision in it is not signed under a trusted key.
        """
        if not _MODEL.fullmatch(model):
            raise PolicyRefused("a model is named by its digest: 64 hexadecimal digits")
        try:
            data = read_whole(self.record_file(model))
        except FileNotFoundError as error:
            raise StoreBroken(
                f"model {model[:12]} has no record here: nothing says who may open it"
            ) from error
        except OSError as error:
            raise StoreBroken(f"the record of {model[:12]} cannot be read: {error}") from error
        return read_history(data, model, self._trusted)

    def header(self, history: WeightsHistory) -> bytes:
        """Returns the header of the newest generation.

        Raises:
            PolicyRefused: the model is retired, or the header is of an earlier generation.
            MessageRefused: it was changed, or is missing.
        """
        history.require_in_use()
        now = history.manifest
        found = _bytes_of(self.header_file(now.model))
        for data in (found, _bytes_of(self.next_header_file(now.model))):
            if data is not None and digest(data) == now.header:
                return data
        if found is None:
            raise MessageRefused(f"the header of {now.model[:12]} is missing: take a whole copy")
        for earlier in history.manifests[:-1]:
            if digest(found) == earlier.header:
                raise PolicyRefused(
                    f"the header is of generation {earlier.generation}, and the record says "
                    f"{now.generation}: an older one was put back. Restore the newest"
                )
        raise MessageRefused(f"the header of {now.model[:12]} was changed: take a whole copy")

    def require_size(self, manifest: WeightsManifest) -> None:
        """Checks a payload's size alone.

        Raises:
            MessageRefused: it has another, or is missing.
        """
        path = self.payload_file(manifest.model)
        if not path.is_file() or path.stat().st_size != manifest.payload_bytes:
            raise MessageRefused(f"the payload of {manifest.model[:12]} is missing or cut off")

    def require_payload(self, manifest: WeightsManifest) -> None:
        """Checks a payload's size and digest, in constant memory.

        Raises:
            MessageRefused: it was changed, cut off, or is missing.
        """
        state = hashlib.sha256()
        try:
            with os.fdopen(open_regular(self.payload_file(manifest.model)), "rb") as file:
                while piece := file.read(PIECE):
                    state.update(piece)
                size = file.tell()
        except OSError as error:
            raise MessageRefused(
                f"the payload of {manifest.model[:12]} cannot be read: {error.strerror}"
            ) from error
        if (size, state.hexdigest()) != (manifest.payload_bytes, manifest.payload):
            raise MessageRefused(
                f"the payload of {manifest.model[:12]} was changed or cut off: {size} bytes where "
                f"{manifest.payload_bytes} were sealed, or others. Take a whole copy"
            )

    def check(self) -> WeightsFound:
        """Checks record, header and payload of every model; nothing is written or decrypted.

        A model is every digest that a file of the folder is named by. A fault is what two looks
        found, for a model may be re-wrapped meanwhile.
        """
        found = self._looked_at()
        if not found.faults:
            return found
        again = self._looked_at()
        return WeightsFound(
            histories=again.histories,
            faults=tuple(fault for fault in again.faults if fault in found.faults),
            files=again.files,
        )

    def _looked_at(self) -> WeightsFound:
        names = {path.name for path in self.root.glob("*")}
        ends = (_HEADER, _PAYLOAD, _RECORD)
        models = sorted({name[:64] for name in names if name[64:] in ends and _MODEL.match(name)})
        histories: dict[str, WeightsHistory] = {}
        faults: list[str] = []
        for model in models:
            try:
                histories[model] = self.history(model)
            except FederationError as error:
                faults.append(f"encrypted model {model[:12]}: {error}")
                continue
            for fault in self._faults_of(histories[model]):
                faults.append(f"encrypted model {model[:12]}: {fault}")
        held = {f"{model}{end}" for model in models for end in (*ends, f"{_HEADER}{_NEXT}")}
        held |= {LOCK, *(SEALING.format(model=model) for model in models)}
        return WeightsFound(
            histories=histories, faults=tuple(faults), files=frozenset(names & held)
        )

    def _faults_of(self, history: WeightsHistory) -> Iterator[str]:
        model = history.manifest.model
        if history.retired is None:
            try:
                self.header(history)
            except FederationError as error:
                yield str(error)
        elif self.header_file(model).exists():
            yield (
                "it was retired, and its header is there again: with it any age program opens the "
                "payload. Remove it"
            )
        try:
            self.require_payload(history.manifest)
        except FederationError as error:
            yield str(error)


def _bytes_of(path: Path) -> bytes | None:
    """Returns what a header's file holds, None where there is none."""
    try:
        return read_whole(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MessageRefused(f"{path.name} cannot be read: {error.strerror}") from error
