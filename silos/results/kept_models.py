"""The final models that came back to a hospital, each with what is needed to use it.

::

    results/<run>/model.safetensors   the parameters, as they arrived for the evaluation
    results/<run>/model.json          digests, network, and how a record becomes its input
    results/<run>/personalised-model.safetensors   where the strategy gives each hospital its own
    results/<run>/evaluated/<digest>.safetensors   of a run under way that may go back to one

A hospital is sent the model at every round. The one that the last evaluation counts
its test patients by is the run's last, so it is kept then. A run that takes back rounds may
end with the model of an earlier evaluation, so each of those is kept until the end. Files
are the owner's alone to read.
"""

import json
from pathlib import Path
from typing import Any

from compliance.storage.atomic_file import write_whole
from protocol.encoding import digest
from protocol.errors import MessageRefused, StoreBroken
from protocol.study.cohort.cohort import ImageCohort
from protocol.study.cohort.columns import CategoryColumn
from protocol.study.study import Study
from protocol.study.task.task import output_of
from protocol.vectors.tensors import Tensors, decode_tensors, encode_tensors, model_digest

#: The files that a check of the folder can hold to something that was signed.
_MODEL, _ABOUT = HELD = ("model.safetensors", "model.json")
#: No statement names a hospital's own model: nobody else ever sees it.
_PERSONALISED = "personalised-model.safetensors"
_EVALUATED = "evaluated"


def keep_model(
    home: Path, run_id: str, study: Study, model: Tensors, personalised: Tensors | None = None
) -> Path:
    """Keeps a run's final model, how to use it, and its own one; returns the model's file.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = _folder(home, run_id)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    encoded = encode_tensors(model)
    if study.evaluation.roll_back is not None:
        earlier = folder / _EVALUATED
        earlier.mkdir(mode=0o700, exist_ok=True)
        write_whole(earlier / f"{model_digest(model)}.safetensors", encoded)
    write_whole(folder / _MODEL, encoded)
    write_whole(folder / _ABOUT, _about(run_id, study, model))
    if personalised is not None:
        write_whole(folder / _PERSONALISED, encode_tensors(personalised))
    return folder / _MODEL


def keep_announced(home: Path, run_id: str, study: Study, name: str | None) -> None:
    """Keeps, of the models that were evaluated, the one that a run ended with; drops the others.

    Args:
        home: the hospital's folder.
        run_id: the run, which is over.
        study: its study.
        name: the digest of its final model; None where it has none.

    Raises:
        OSError: the folder cannot be written.
        StoreBroken: the model is damaged.
    """
    folder = _folder(home, run_id)
    final = folder / _EVALUATED / f"{name}.safetensors"
    if final.is_file():
        model = read_model(final)
        write_whole(folder / _MODEL, encode_tensors(model))
        write_whole(folder / _ABOUT, _about(run_id, study, model))
    for path in evaluated_files(home, run_id):
        path.unlink(missing_ok=True)
    if (folder / _EVALUATED).is_dir():
        (folder / _EVALUATED).rmdir()


def evaluated_files(home: Path, run_id: str) -> tuple[Path, ...]:
    """Returns the files of the models that a run under way may go back to."""
    return tuple(sorted((_folder(home, run_id) / _EVALUATED).glob("*.safetensors")))


def require_about(home: Path, run_id: str, study: Study) -> None:
    """Refuses a kept model whose ``model.json`` is not what study and model give.

    Raises:
        StoreBroken: it is another, or missing, or the model is damaged.
    """
    folder = _folder(home, run_id)
    path = folder / _ABOUT
    expected = _about(run_id, study, read_model(folder / _MODEL))
    if not path.is_file() or path.read_bytes() != expected:
        raise StoreBroken(
            f"{path} is not what study and model give: it was changed or removed. Do not use it: "
            "collegium silo results RUN --model FILE, with the model beside it, makes it again"
        )


def _about(run_id: str, study: Study, model: Tensors) -> bytes:
    about = {
        "run": run_id,
        "study": study.digest,
        "study_name": study.name,
        "model_digest": model_digest(model),
        "file_sha256": digest(encode_tensors(model)),
        "network": study.task.network.model_dump(mode="json"),
        "output": output_of(study.task),
        "label": study.cohort.label.model_dump(mode="json"),
        **inputs_of(study),
    }
    return json.dumps(about, indent=2, sort_keys=True).encode() + b"\n"


def model_file(home: Path, run_id: str) -> Path | None:
    """Returns the file of a run's final model; None where none came back."""
    path = _folder(home, run_id) / _MODEL
    return path if path.is_file() else None


def personalised_file(home: Path, run_id: str) -> Path | None:
    """Returns the file of the hospital's personalised model of a run; None where it has none."""
    path = _folder(home, run_id) / _PERSONALISED
    return path if path.is_file() else None


def read_model(path: Path) -> Tensors:
    """Returns the model in a file.

    Raises:
        StoreBroken: it cannot be read, or is no model.
    """
    try:
        return decode_tensors(path.read_bytes())
    except (OSError, MessageRefused) as error:
        raise StoreBroken(f"{path} is no model ({error}): restore it") from error


def inputs_of(study: Study) -> dict[str, Any]:
    """Returns how a record becomes the network's input, in the order of the input's numbers.

    A number is ``(value - centre) / scale``; a category is 1 where the cell is that
    value, else 0; the first value of a vocabulary has no number of its own. The pixels of an
    image, ``(value - centre) / scale``, come before the columns' numbers.
    """
    cohort = study.cohort
    image: dict[str, Any] = {}
    if isinstance(cohort, ImageCohort):
        image = {"image": cohort.image.model_dump(mode="json")}
        if not cohort.columns:
            return image
    inputs: list[dict[str, Any]] = []
    for column in cohort.features:
        declared = column.model_dump(mode="json")
        if isinstance(column, CategoryColumn):
            one = {"column": column.name, "impute": declared["impute"]}
            inputs += [one | {"equals": value} for value in column.tokens[1:]]
        else:
            inputs.append({"column": declared.pop("name")} | declared)
    return image | {"inputs": inputs}


def _folder(home: Path, run_id: str) -> Path:
    return home / "results" / run_id
