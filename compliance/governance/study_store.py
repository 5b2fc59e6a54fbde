"""Study documents as they were approved or registered, each in a folder named by its digest.

::

    studies/<digest>/study.yaml     the document, byte for byte as people wrote it
    studies/<digest>/<split.file>   the index file of its split, where it names one

Only what the digest names is ever handed out: the document is read again and
its digest compared, and an index file must have the SHA-256 that the document
states.
"""

from pathlib import Path

from compliance.storage.atomic_file import write_whole
from protocol.encoding import digest
from protocol.errors import StoreBroken, StudyRefused, WorkspaceRefused
from protocol.study.study import FileSplit, Study
from protocol.study.study_file import read_study, read_text

_DOCUMENT = "study.yaml"


class StudyStore:
    """The studies kept in one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, text: str, index: bytes | None, pretrained: bytes | None = None) -> Study:
        """Keeps a study and the files that it names; returns the study. Again changes nothing.

        Args:
            text: the document; canonical JSON is a document too.
            index: the bytes of the index file that the split names, or None.
            pretrained: the bytes of the parameters that it starts from; None where nobody trains.

        Raises:
            StudyRefused: the document is wrong, or a file is not the one it names.
            WorkspaceRefused: the folder cannot be written.
        """
        study = read_study(text, "the study")
        _require_index(study, index)
        named = study.task.pretrained
        if named is not None and pretrained is not None:
            named.attach(pretrained)
        folder = self._folder / study.digest
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if isinstance(study.split, FileSplit) and index is not None:
                place = folder / study.split.file
                place.parent.mkdir(parents=True, exist_ok=True)
                write_whole(place, index)
            if named is not None and pretrained is not None:
                write_whole(folder / named.file, pretrained)
            write_whole(folder / _DOCUMENT, text.encode("utf-8"))
        except OSError as error:
            raise WorkspaceRefused(
                f"{self._folder} cannot be written ({error.strerror}): check disk space and "
                "permissions"
            ) from error
        return study

    def read(self, name: str) -> tuple[Study, bytes | None]:
        """Returns a kept study by its digest, and its index file where it names one.

        Raises:
            StudyRefused: it is not kept here.
            StoreBroken: what is kept was changed.
        """
        folder = self._folder / name
        if len(name) != 64 or not (folder / _DOCUMENT).is_file():
            raise StudyRefused(f"no study {name[:16]} is kept here: approve its document first")
        study = read_study(read_text(folder / _DOCUMENT), f"studies/{name[:16]}/{_DOCUMENT}")
        if study.digest != name:
            raise StoreBroken(f"the kept study {name[:16]} was changed: approve it again")
        index = None
        if isinstance(study.split, FileSplit):
            try:
                index = (folder / study.split.file).read_bytes()
            except OSError as error:
                raise StoreBroken(
                    f"the index file of study {name[:16]} is lost: approve it again"
                ) from error
        try:
            _require_index(study, index)
        except StudyRefused as error:
            raise StoreBroken(
                f"the index file of study {name[:16]} was changed: approve it again"
            ) from error
        named = study.task.pretrained
        if named is not None and (folder / named.file).is_file():
            try:
                named.attach((folder / named.file).read_bytes())
            except (OSError, StudyRefused) as error:
                raise StoreBroken(
                    f"{named.file} of study {name[:16]} was changed: approve it again"
                ) from error
        return study, index

    def digests(self) -> tuple[str, ...]:
        """Returns what is kept, sorted."""
        return tuple(sorted(path.parent.name for path in self._folder.glob(f"*/{_DOCUMENT}")))


def _require_index(study: Study, index: bytes | None) -> None:
    split = study.split
    if not isinstance(split, FileSplit):
        return
    if split.sha256 is None:
        raise StudyRefused(
            f"split.sha256 is missing: state the SHA-256 of {split.file}, so that the study's "
            "digest says which split it is"
        )
    if split.file == _DOCUMENT:
        raise StudyRefused(f"split.file: an index file is not called {_DOCUMENT}: rename it")
    if index is None:
        raise StudyRefused(f"split: the index file {split.file!r} is missing beside the study")
    if digest(index) != split.sha256:
        raise StudyRefused(
            f"split: the index file {split.file!r} is not the one the study names: its sha256 "
            f"begins {digest(index)[:12]}, expected {split.sha256[:12]}"
        )
