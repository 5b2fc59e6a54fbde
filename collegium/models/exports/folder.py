"""The files of an exported folder, by what they hold.

::

    FOLDER/
      snapshot.json       the snapshot with its signatures
      roster.json         the hospitals' keys that they are verified with
      study.json          the study, as its digest is taken of
      proof.tlog          that the snapshot is an entry of the log (C2SP tlog-proof)
      model.safetensors   the parameters; their tensor digest is the model's name
      configs/, models/   the MONAI bundle; models/ holds the other forms too
      fidelity.json       how far the outputs of each form are from the model's
      MODEL_CARD.md, mlbom.json
      release.pub         the key that signed the folder
      release-key.tlog    that this key is an entry of the log
      model.sig           the signature of all the others (OpenSSF model signing)
"""

import hashlib
from pathlib import Path

from protocol.errors import MessageRefused, WorkspaceRefused
from protocol.vectors.tensors import MAX_BYTES

SNAPSHOT, ROSTER, STUDY, PROOF = "snapshot.json", "roster.json", "study.json", "proof.tlog"
WEIGHTS, FIDELITY = "model.safetensors", "fidelity.json"
CARD, BOM = "MODEL_CARD.md", "mlbom.json"
METADATA, INFERENCE = "configs/metadata.json", "configs/inference.json"
BUNDLE, PROGRAM = "models/model.pt", "models/model.pt2"
ONNX, INT8 = "models/model.onnx", "models/model-int8.onnx"
_BLOCK = 1 << 20
_MOST_FILES = 1000
#: No file of an export is larger: some forms hold the parameters twice.
_MOST_BYTES = 4 * MAX_BYTES


def digests_in(folder: Path, without: str = "") -> dict[str, str]:
    """Returns the SHA-256 of each file in a folder, by its path from there, with slashes.

    Args:
        folder: the folder.
        without: the one path that is left out.

    Raises:
        WorkspaceRefused: there is no such folder, or a file cannot be read.
        MessageRefused: something in it is neither a file nor a folder, or there is too much.
    """
    if not folder.is_dir():
        raise WorkspaceRefused(f"{folder} is no folder")
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise MessageRefused(f"{name} is neither a file nor a folder: an export holds no links")
        if path.is_dir() or name == without:
            continue
        if len(found) == _MOST_FILES:
            raise MessageRefused(f"{folder} holds more files than any export")
        if path.stat().st_size > _MOST_BYTES:
            raise MessageRefused(f"{name} is larger than any file of an export")
        found[name] = _digest_of(path)
    return found


def _digest_of(path: Path) -> str:
    state = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                state.update(block)
    except OSError as error:
        raise WorkspaceRefused(f"{path} cannot be read: {error.strerror}") from error
    return state.hexdigest()
