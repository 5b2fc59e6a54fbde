"""A new study from a MONAI bundle: its network, preprocessing, image shape and weights.

The bundle is read once, by the person who writes the study. What comes of it is an ordinary study
document, with a safetensors file beside it: no hospital reads a bundle, and every check of a study
holds.
"""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from collegium.extras import require_extra
from collegium.studies.authoring.bundle.arguments import as_yaml
from collegium.studies.authoring.bundle.config import Config, ConfigSection, read_config
from collegium.studies.authoring.bundle.files import BundleFiles, open_bundle
from collegium.studies.authoring.bundle.metadata import Metadata, read_metadata
from collegium.studies.authoring.bundle.network import BundleNetwork, read_network
from collegium.studies.authoring.bundle.preprocessing import (
    BundlePreprocessing,
    read_preprocessing,
)
from collegium.studies.authoring.bundle.weights import (
    WEIGHTS,
    BundleWeights,
    has_weights,
    read_weights,
)
from collegium.studies.authoring.template import study_template, write_study
from collegium.studies.authoring.template_tasks import TaskPassages
from compliance.storage.atomic_file import FOR_ALL, read_whole, remove, write_new
from protocol.encoding import digest
from protocol.errors import StudyRefused, WorkspaceRefused
from protocol.study.cohort.preprocessing import misfits
from protocol.study.study import Study
from protocol.study.study_file import MAX_BYTES, read_study
from protocol.study.task.task import LABEL_FORMS

_CONFIGS = tuple(
    f"configs/{name}.{end}" for name in ("inference", "train") for end in ("json", "yaml", "yml")
)
_NETWORKS = ("network_def", "network", "net")
_PREPROCESSING = (
    ("preprocessing",), ("val_preprocessing",), ("validate", "preprocessing"),
    ("train", "preprocessing"),
)  # fmt: skip
#: What an array of computed tomography holds: 12 bits of Hounsfield units.
_HOUNSFIELD: tuple[float, float] = (-1024, 3071)
#: What no bundle can know of the hospitals' files.
_OF_ARRAYS = (
    "cohort.patient_key and cohort.parts: patient_id and train are guesses, for arrays called "
    "train_images and train_patient_id: write what the hospitals' files have (patient_key: row "
    "where one image is one patient)"
)
_ONE_OUTPUT = ("binary_classification", "regression", "survival")


@dataclass(frozen=True, kw_only=True)
class BundleChoices:
    """A person's choices beside the bundle.

    Attributes:
        task: a task's kind; None takes the one that fits the network.
        shape: the images' sides; None takes those that the bundle names.
        without: layers that are to start from the seed.
        with_weights: False leaves the bundle's weights, whatever they are.
    """

    task: str | None = None
    shape: tuple[int, ...] | None = None
    without: tuple[str, ...] = ()
    with_weights: bool = True


@dataclass(frozen=True, kw_only=True)
class StudyFromBundle:
    """A new study's text and weights, and what a person should know.

    Attributes:
        text: the document.
        weights: the bytes of the file beside it; None where it has none.
        study: the document, read, with its weights.
        files: what the hospitals' files must be, as the bundle has it.
        notes: what differs from the bundle.
        not_used: sections of the bundle's configuration that have no part in a study.
        left_out: tensors that start from the seed.
    """

    text: str
    weights: bytes | None
    study: Study
    files: tuple[str, ...]
    notes: tuple[str, ...]
    not_used: tuple[str, ...]
    left_out: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Returns it for ``--json``."""
        found = self.study.model_dump(mode="json")
        return {
            "name": self.study.name,
            "digest": self.study.digest,
            "network": found["task"]["network"],
            "pretrained": found["task"].get("pretrained"),
            "image": found["cohort"]["image"],
            "files": list(self.files),
            "notes": list(self.notes),
            "not_used": list(self.not_used),
            "left_out": list(self.left_out),
        }


@dataclass(frozen=True, kw_only=True)
class _Bundle:
    """All that was read of a bundle, but for its weights."""

    files: BundleFiles
    metadata: Metadata
    config: Config
    network: BundleNetwork
    preprocessing: BundlePreprocessing
    section: ConfigSection | None
    used: frozenset[str]
    name: str = field(default="bundle")


def study_from_bundle(place: Path, choices: BundleChoices, **template: Any) -> StudyFromBundle:
    """Returns a new study from a bundle; writes nothing.

    Args:
        place: the bundle's folder, or a ZIP archive of it.
        choices: what the person says beside it.
        template: name, title, purpose, sites and epsilon, as ``study_template`` takes them.

    Raises:
        StudyRefused: something of the bundle cannot be taken; names file, line and remedy.
        WorkspaceRefused: what builds networks is not installed.
    """
    require_extra("silo")
    from pipelines.networks.monai_names import monai_names
    from pipelines.networks.networks import build

    bundle = _read(place)
    weighted = choices.with_weights and has_weights(bundle.files)
    if choices.without and not weighted:
        raise StudyRefused(f"--without: the study takes no weights from {place}")
    task = choices.task or _task(bundle.network)
    shape, notes = _shape(bundle, choices.shape)
    range_, centre_notes = _range(bundle)
    notes += centre_notes
    without_weights = _study_text(bundle, task, shape, range_, None, [], template)
    study = read_study(without_weights, "the new study")
    build(study.task, study.cohort, seed=0)
    weights: BundleWeights | None = None
    line: str | None = None
    if not weighted:
        notes.append(
            "no weights: the network starts from the seed"
            + ("" if choices.with_weights else " (--no-weights)")
        )
    else:
        weights = read_weights(bundle.files, monai_names(study.task, study.cohort), choices.without)
        notes += _of_weights(weights, bundle.metadata)
        line = _pretrained(bundle, weights)
    outputs = study.task.outputs(study.cohort.label)
    if bundle.network.outputs != outputs:
        notes.append(f"outputs: {bundle.network.outputs} in the bundle, {outputs} in the study")
    notes += [_OF_ARRAYS, *bundle.network.notes, *bundle.preprocessing.notes]
    text = _study_text(bundle, task, shape, range_, line, notes, template)
    study = read_study(text, "the new study")
    if weights is not None and study.task.pretrained is not None:
        study.task.pretrained.attach(weights.data)
        build(study.task, study.cohort, seed=0)
    return StudyFromBundle(
        text=text,
        weights=weights.data if weights else None,
        study=study,
        files=bundle.preprocessing.files,
        notes=tuple(notes),
        not_used=tuple(name for name in bundle.config.names if name not in bundle.used),
        left_out=weights.left_out if weights else (),
    )


def write_from_bundle(to: Path, made: StudyFromBundle) -> Path | None:
    """Writes a new study and the weights beside it, both or neither; never over another file.

    Returns the file of weights, where there is one.

    Raises:
        WorkspaceRefused: a file is there already, or cannot be written.
    """
    pretrained = made.study.task.pretrained
    if pretrained is None or made.weights is None:
        write_study(to, made.text)
        return None
    if to.exists():
        raise WorkspaceRefused(f"--to {to} is there already: name a new file")
    beside = to.parent / pretrained.file
    try:
        write_new(beside, made.weights, mode=FOR_ALL)
        is_new = True
    except FileExistsError:
        is_new = False
        if not _holds(beside, made.weights):
            raise WorkspaceRefused(
                f"{beside} is there already and holds other weights: name a new folder"
            ) from None
    except OSError as error:
        raise WorkspaceRefused(f"{beside} cannot be written: {error.strerror}") from error
    try:
        write_study(to, made.text)
    except WorkspaceRefused:
        if is_new:
            remove(beside)
        raise
    return beside


def _holds(path: Path, data: bytes) -> bool:
    try:
        return read_whole(path) == data
    except OSError:
        return False


def _read(place: Path) -> _Bundle:
    files = open_bundle(place)
    metadata = read_metadata(files)
    found = [name for name in _CONFIGS if name in files.sizes]
    for name in found:
        config = read_config(files.read(name, MAX_BYTES), files.shown_path(name))
        key = next((key for key in _NETWORKS if config.has(key)), None)
        if key is not None:
            break
    else:
        looked = ", ".join(found) or "configs/inference.json, configs/train.json (or .yaml)"
        raise StudyRefused(f"--bundle {place}: no {', '.join(_NETWORKS)} in {looked}")
    of_network = config.section(key)
    steps = next((steps for steps in _PREPROCESSING if config.has(*steps)), None)
    section = None if steps is None else config.section(*steps)
    return _Bundle(
        files=files,
        metadata=metadata,
        config=config,
        network=read_network(of_network),
        preprocessing=BundlePreprocessing() if section is None else read_preprocessing(section),
        section=section,
        used=of_network.used | (section.used if section else frozenset()),
        name=re.sub(r"[^A-Za-z0-9_.-]+|^[^A-Za-z0-9]+", "-", files.name).strip("-._")[:60]
        or "bundle",
    )


def _task(network: BundleNetwork) -> str:
    """Returns the task that fits a network best."""
    if network.settings.gives == "masks":
        return "segmentation"
    if network.settings.target == "Regressor":
        return "regression"
    return "binary_classification" if network.outputs == 1 else "multiclass_classification"


def _shape(bundle: _Bundle, chosen: tuple[int, ...] | None) -> tuple[tuple[int, ...], list[str]]:
    network, metadata = bundle.network, bundle.metadata
    axes = network.axes or len(chosen or network.sides or metadata.sides or (0, 0))
    prepared = bundle.preprocessing.sides(axes)
    shape = chosen or prepared or network.sides or metadata.sides
    why = bundle.preprocessing.misfit(axes) if axes else None
    if why and bundle.section is not None:
        raise bundle.section.refused(why)
    if not shape:
        raise StudyRefused(
            f"--bundle {bundle.files.place}: names no sides of images in numbers: say them, for "
            "example --shape " + ",".join(["96"] * (axes or 2))
        )
    if bundle.section is not None:
        for _, why in misfits(bundle.preprocessing.settings, shape):
            raise bundle.section.refused(why)
    if prepared is not None:
        return shape, []
    whole = " x ".join(map(str, shape))
    return shape, [
        f"image.shape: every image must have {whole} pixels: no transform of the bundle makes them "
        "so; add ResizeWithPadOrCropd or Resized to image.preprocessing where they differ"
    ]


def _range(bundle: _Bundle) -> tuple[tuple[float, float], list[str]]:
    """Returns what hospitals' arrays may hold, from what the bundle says, and where that is from.

    The bundle's transforms take values as they are, so centre is 0 and scale 1.
    """
    first = next((s for s in bundle.preprocessing.settings if s.target.startswith("ScaleI")), None)
    value_range = bundle.metadata.value_range
    found: tuple[float, float]
    if "hounsfield" in bundle.metadata.unit.lower():
        found, why = _HOUNSFIELD, "Hounsfield units, of which 12 bits are taken"
    elif first is not None and first.target == "ScaleIntensityRanged":
        of_first = first.model_dump()
        found, why = (of_first["a_min"], of_first["a_max"]), "a_min and a_max of the bundle"
    elif not bundle.preprocessing.settings and value_range is not None:
        found, why = value_range, "value_range of metadata.json"
    else:
        found, why = (0, 255), "of which the bundle says nothing"
    return found, [f"image.range: {as_yaml(found)}, {why}: mend it if hospitals' arrays hold more"]


def _pretrained(bundle: _Bundle, weights: BundleWeights) -> str:
    return "  pretrained: " + as_yaml(
        {
            "file": f"{bundle.name}.safetensors",
            "sha256": digest(weights.data),
            "source": bundle.metadata.source(bundle.name),
        }
    )


def _of_weights(weights: BundleWeights, metadata: Metadata) -> list[str]:
    notes = []
    if weights.left_out:
        few, more = weights.left_out[:8], len(weights.left_out) - 8
        said = ", ".join(few) + (f" and {more} more (--json has all)" if more > 0 else "")
        notes.append(f"start from the seed: {said}")
    if weights.unused:
        notes.append(f"weights that no network of this kind uses: {', '.join(weights.unused)}")
    if not metadata.licence:
        notes.append("the bundle names no licence: ask its authors whether its weights may be used")
    return notes


def _study_text(
    bundle: _Bundle,
    task: str,
    shape: Sequence[int],
    range_: tuple[float, float],
    pretrained: str | None,
    notes: Sequence[str],
    template: dict[str, Any],
) -> str:
    """Returns the study's text."""
    if task not in LABEL_FORMS:
        raise StudyRefused(f"--template {task}: one of {', '.join(LABEL_FORMS)}")
    lines = [f"  kind: {task}", f"  network: {as_yaml(dict(bundle.network.written))}"]
    lines += [pretrained] if pretrained else []
    if task == "survival":
        lines += [
            "  times: [365, 1095, 1825]          # ends of intervals, in the time array's unit",
            "  event_free: [0.97, 0.91, 0.85]    # share without the event, from published sources",
        ]
    if task == "binary_classification":
        lines.append("# prevalence: 0.1         # published; it would set the output's bias anew")
    passages = TaskPassages(
        cohort=_cohort(bundle, task, shape, range_),
        task="\n".join(lines) + "\n",
        records="npz",
        micro_batch=4,
    )
    given = {"name": bundle.name.lower(), "title": f"A study from the MONAI bundle {bundle.name}"}
    head = _head(bundle, [*bundle.preprocessing.files, *notes])
    return study_template(task=task, passages=passages, head=head, **(given | template))


def _cohort(bundle: _Bundle, task: str, shape: Sequence[int], range_: tuple[float, float]) -> str:
    arrays = "train_images, train_masks" if task == "segmentation" else "train_images, train_labels"
    lines = [
        f"  kind: images              # an npz: {arrays}, train_patient_id, ...",
        "  patient_key: patient_id   # a guess: the array <part>_patient_id that tells patients "
        "apart;",
        "                            # row: the files have none, and one image is one patient",
        f"  label: {_label(task, bundle.network.outputs, bundle.metadata.classes)}",
        "  image:",
        f"    shape: {as_yaml(list(shape))}",
        f"    range: {as_yaml(list(range_))}   "
        "# of hospitals' arrays as they are; beyond it: refused",
        "    centre: 0",
        "    scale: 1                # the network was made for values as the transforms give them",
    ]
    if bundle.preprocessing.written:
        lines.append("    preprocessing:")
        lines += [f"      - {as_yaml(dict(one))}" for one in bundle.preprocessing.written]
    lines += [
        "  parts: [train]            # a guess: what stands before _images in the arrays' names",
        "  min_patients: 20          # a smaller hospital is refused",
    ]
    return "\n".join(lines) + "\n"


def _label(task: str, outputs: int, classes: Sequence[str]) -> str:
    count = max(2, outputs)
    named = list(classes) if len(classes) == count else [f"class_{n}" for n in range(count)]
    numbered = {name: [number] for number, name in enumerate(named)}
    forms: dict[str, dict[str, Any]] = {
        "binary_classification": {"positive": [1], "negative": [0]},
        "multiclass_classification": {"classes": numbered},
        "multilabel_classification": {
            "findings": {name: {"positive": [1], "negative": [0]} for name in named}
        },
        "regression": {"range": [0, 60], "centre": 8, "scale": 6},
        "segmentation": {"mask": "masks", "classes": numbered},
        "survival": {"event": "died", "occurred": [1], "censored": [0], "range": [0, 10000]},
    }
    return as_yaml(forms[task])


def _head(bundle: _Bundle, notes: Sequence[str]) -> str:
    """Returns what the study's first lines say of the bundle."""
    metadata = bundle.metadata
    said = [
        f"Begun from the MONAI bundle {bundle.name} {metadata.version}".rstrip()
        + f": {bundle.config.file.rsplit('/', 1)[-1]}, {WEIGHTS}. It is not read again.",
        *(words for words in (metadata.description, metadata.copyright) if words),
        *([f"Licence: {metadata.licence}"] if metadata.licence else []),
        *(f"* {note}" for note in notes),
    ]
    lines = [line for text in said for line in textwrap.wrap(text, 98)]
    return "".join(f"# {line}\n" for line in lines) + "#\n"
