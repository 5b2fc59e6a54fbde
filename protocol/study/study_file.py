"""Reads a study document: YAML 1.2 text in, a ``Study`` out, or the line that is wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protocol.errors import StudyRefused
from protocol.study.documents.yaml_document import MAX_BYTES as MAX_BYTES
from protocol.study.documents.yaml_document import DocumentForm, read_document, with_lines
from protocol.study.study import FileSplit, Study

_STUDY = DocumentForm(
    record=Study,
    noun="study",
    refusal=StudyRefused,
    see="examples/",
    found_by={
        "privacy.noise_multiplier": "collegium study plan shows it for the steps that it advises; "
        "for other steps write 1, and collegium study check names the least that keeps epsilon"
    },
)


def read_study(text: str, source: str = "study") -> Study:
    """Returns the study written in ``text``.

    Args:
        text: a YAML 1.2 document.
        source: what to call it in messages, for example the file's name.

    Raises:
        StudyRefused: one line per problem, see ``yaml_document.read_document``.
    """
    return read_document(text, _STUDY, source)


def read_study_file(path: Path) -> Study:
    """Returns the study in a file, with the pretrained parameters that it names.

    Raises:
        StudyRefused: it or they cannot be read, or see ``read_study``.
    """
    study = read_study(read_text(path), source=str(path))
    data = pretrained_beside(study, path.parent)
    if data is not None and study.task.pretrained is not None:
        study.task.pretrained.attach(data)
    return study


def read_text(path: Path) -> str:
    """Returns a study document's text.

    Raises:
        StudyRefused: it cannot be read.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise StudyRefused(f"{path}: cannot be read: {reason}") from error


@contextmanager
def lines_of(path: Path) -> Iterator[None]:
    """Adds file and line to a refusal of a study that was read from a file, where it names a key.

    Raises:
        StudyRefused: what was refused inside, with the lines.
    """
    try:
        yield
    except StudyRefused as error:
        raise StudyRefused(with_lines(read_text(path), str(path), str(error))) from error


def pretrained_beside(study: Study, folder: Path) -> bytes | None:
    """Returns the bytes of the pretrained parameters, which lie beside the study document.

    Raises:
        StudyRefused: the study names a file and it cannot be read.
    """
    if study.task.pretrained is None:
        return None
    return _read_named("task.pretrained", folder / study.task.pretrained.file)


def index_beside(study: Study, folder: Path) -> bytes | None:
    """Returns the bytes of the split's index file, which lies beside the study document.

    Raises:
        StudyRefused: the study names one and it cannot be read.
    """
    if not isinstance(study.split, FileSplit):
        return None
    return _read_named("split.file", folder / study.split.file)


def _read_named(key: str, path: Path) -> bytes:
    """Returns a file that a study names under a key."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise StudyRefused(f"{key}: {path} cannot be read: {error.strerror}") from error
