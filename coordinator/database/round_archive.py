"""The archive of the newest rounds' masked vectors and transcripts, for recomputing their sums.

::

    rounds/<context digest>/
      <vector digest>.vector      one for each site in the sum, as it was sent
      model.safetensors           the model that the round began with
      transcript.json             written last: without it the folder is unfinished

Old rounds are removed whole, unless a legal hold keeps them: what stays of them for ever are
digests in the log.
"""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from compliance.storage.atomic_file import read_whole, write_whole
from protocol.encoding import blob_digest
from protocol.errors import MessageRefused, StoreBroken
from protocol.secagg.context import RoundContext
from protocol.secagg.transcript import Transcript, parse_transcript

_TRANSCRIPT = "transcript.json"
_MODEL = "model.safetensors"


class RoundArchive:
    """The folder of kept rounds.

    Args:
        folder: where they lie.
        is_held: whether a legal hold keeps finished rounds from being removed, whenever it is
            asked; a hold lasts as long as the law wants, not as long as a run.
    """

    def __init__(self, folder: Path, is_held: Callable[[], bool] = lambda: False) -> None:
        self._folder, self.is_held = folder, is_held

    def keep_vector(self, context: RoundContext, name: str, vector: bytes) -> None:
        """Keeps one masked vector of a round that is under way."""
        write_whole(self._place(context.digest) / f"{name}.vector", vector)

    def keep_round(self, transcript: Transcript, model: bytes) -> None:
        """Keeps what else a finished round needs; from now on it can be recomputed."""
        place = self._place(transcript.context.digest)
        write_whole(place / _MODEL, model)
        write_whole(place / _TRANSCRIPT, transcript.canonical_bytes)

    def drop(self, context_digest: str) -> None:
        """Removes a round, finished or not; one that is not there is gone already.

        The transcript goes first: a reader meanwhile finds the round whole or not held.
        """
        with suppress(OSError):
            (self._folder / context_digest / _TRANSCRIPT).unlink()
        shutil.rmtree(self._folder / context_digest, ignore_errors=True)

    def holds(self, context_digest: str) -> bool:
        """Whether a round can be recomputed."""
        return (self._folder / context_digest / _TRANSCRIPT).is_file()

    def transcript(self, context_digest: str) -> Transcript | None:
        """Returns a kept round's transcript, or None when it is not kept (any longer).

        Raises:
            StoreBroken: it cannot be read.
        """
        path = self._folder / context_digest / _TRANSCRIPT
        try:
            return parse_transcript(read_whole(path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreBroken(f"a kept round cannot be read: {error.strerror}") from error
        except MessageRefused as error:
            raise StoreBroken(f"the transcript of a kept round is damaged: {error}") from error

    def vector(self, context_digest: str, name: str) -> bytes:
        """Returns a kept vector, checked against its name.

        Raises:
            StoreBroken: it is missing or was changed.
        """
        path = self._folder / context_digest / f"{name}.vector"
        try:
            vector = read_whole(path)
        except OSError as error:
            raise StoreBroken(f"masked vector {name[:16]} is missing: {error.strerror}") from error
        if blob_digest(vector) != name:
            raise StoreBroken(f"masked vector {name[:16]} was changed")
        return vector

    def model(self, context_digest: str) -> bytes:
        """Returns the bytes of the model that a kept round began with; not checked yet.

        Raises:
            StoreBroken: it is missing.
        """
        try:
            return read_whole(self._folder / context_digest / _MODEL)
        except OSError as error:
            raise StoreBroken(f"the model of a kept round is missing: {error.strerror}") from error

    def _place(self, context_digest: str) -> Path:
        place = self._folder / context_digest
        place.mkdir(parents=True, exist_ok=True)
        return place
