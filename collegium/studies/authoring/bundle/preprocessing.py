"""The preprocessing of a bundle, in a study's form: what a study takes, and what sources do.

Rules:

1. Deterministic transforms that a study's contract lists are taken, by its own records.
2. What makes an array of a file (``LoadImaged``, ``Orientationd``, ``Spacingd``, ...) is done by
   whoever makes a hospital's files; it is said, and must stand before all that is taken.
3. What draws at random, runs code or is on no list is refused by name and line.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from collegium.studies.authoring.bundle.arguments import as_yaml, monai_defaults, spelled, taken
from collegium.studies.authoring.bundle.config import ConfigSection
from protocol.errors import StudyRefused
from protocol.study.cohort.preprocessing import (
    LONGEST,
    Preprocessing,
    PreprocessingSettings,
    is_fixed,
    sides_after,
)
from protocol.study.documents.yaml_document import faults
from protocol.study.study import nearest

#: The records of a study's transforms by MONAI's names.
TRANSFORMS: Mapping[str, type[PreprocessingSettings]] = {
    get_args(member.model_fields["target"].annotation)[0]: member
    for member in get_args(get_args(Preprocessing)[0])
}
#: What is left to whoever makes a hospital's files, and what those files must be.
_OF_FILES: Mapping[str, str] = {
    "LoadImaged": "the source reads the hospital's files",
    "EnsureChannelFirstd": "an image has one channel, which is added",
    "AsChannelFirstd": "an image has one channel, which is added",
    "AddChanneld": "an image has one channel, which is added",
    "Orientationd": "the hospitals' arrays must have that orientation",
    "Spacingd": "the hospitals' arrays must have that spacing",
}
#: What is so in every study.
_ALWAYS = ("EnsureTyped", "ToTensord", "CastToTyped", "ToDeviced")
#: What those say that matters to whoever makes the files.
_SAYS = ("axcodes", "pixdim")
_TRANSFORM: TypeAdapter[PreprocessingSettings] = TypeAdapter(Preprocessing)
#: What makes no difference to images of one channel, every one of which has all keys.
_MAKES_NO_DIFFERENCE = ("channel_wise", "allow_missing_keys")


@dataclass(frozen=True, kw_only=True)
class BundlePreprocessing:
    """Transforms as a study writes them, with what is said of the others.

    Attributes:
        settings: the study's records.
        written: each transform's keys, as in ``image.preprocessing``.
        files: what the hospitals' files must be.
        notes: what is left out, and why.
    """

    settings: tuple[PreprocessingSettings, ...] = ()
    written: tuple[Mapping[str, Any], ...] = ()
    files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def misfit(self, axes: int) -> str | None:
        """Returns why images of so many axes cannot be prepared so; None where they can."""
        any_sides = ((1, LONGEST),) * axes
        return next(filter(None, (each.misfit(any_sides) for each in self.settings)), None)

    def sides(self, axes: int) -> tuple[int, ...] | None:
        """Returns the sides that every image has afterwards; None where they are the image's."""
        if self.misfit(axes):
            return None
        found = sides_after(self.settings, ((1, LONGEST),) * axes)
        return tuple(low for low, _ in found) if is_fixed(found) else None


def read_preprocessing(section: ConfigSection) -> BundlePreprocessing:
    """Returns the preprocessing of a section: a ``Compose``, or a list of transforms.

    Raises:
        StudyRefused: a transform is random, is on no list, or has an argument that no study can.
    """
    listed = _listed(section)
    settings: list[PreprocessingSettings] = []
    written: list[Mapping[str, Any]] = []
    files: list[str] = []
    notes: list[str] = []
    for place in range(len(listed.value)):
        one = listed.part(place)
        name, given = _named(one)
        disabled = given.pop("_disabled_", False)
        if disabled in (True, "true", "True"):
            notes.append(f"{one.path} {name}: _disabled_, so left out")
            continue
        if disabled not in (False, "false", "False"):
            raise one.refused("true or false, nothing else", "_disabled_")
        given, is_image = _without_keys(one, given)
        if not is_image:
            notes.append(f"{one.path} {name}: not of the image: cohort.label says what labels are")
        elif name in _ALWAYS:
            notes.append(f"{one.path} {name}: arrays are float32 in every study")
        elif name in _OF_FILES:
            said = "".join(f" {key}: {as_yaml(given[key])}" for key in _SAYS if key in given)
            if settings:
                raise one.refused(
                    f"{name} stands behind {settings[-1].target}, but is left to whoever makes the "
                    "hospitals' files, which comes first: put it before",
                    "_target_",
                )
            where = files if said else notes
            where.append(f"{name}{said}: {_OF_FILES[name]}")
        else:
            found = _transform(one, name, given)
            settings.append(found[0])
            written.append(found[1])
    return BundlePreprocessing(
        settings=tuple(settings), written=tuple(written), files=tuple(files), notes=tuple(notes)
    )


def _listed(section: ConfigSection) -> ConfigSection:
    if isinstance(section.value, list):
        return section
    if isinstance(section.value, dict):
        name, given = _named(section)
        others = sorted({*given} - {"transforms", "_disabled_"})
        if name == "Compose" and isinstance(given.get("transforms"), list) and not others:
            return section.part("transforms")
        if others:
            raise section.refused("Compose takes transforms alone here", others[0])
    raise section.refused("preprocessing is {_target_: Compose, transforms: [...]}, or a list")


def _named(section: ConfigSection) -> tuple[str, dict[str, Any]]:
    """Returns a transform's name, without the module that it is from, and its arguments."""
    given = dict(section.value) if isinstance(section.value, dict) else {}
    name = given.pop("_target_", None)
    if not isinstance(name, str):
        raise section.refused("a transform is written {_target_: NAME, keys: image, ...}")
    given.pop("_desc_", None)
    if name.startswith("monai.transforms."):
        name = name.rsplit(".", 1)[-1]
    return name, given


def _without_keys(section: ConfigSection, given: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Returns the image's arguments without ``keys``, and whether the image is among these."""
    keys, rest = given.get("keys"), {name: given[name] for name in given if name != "keys"}
    names = keys if isinstance(keys, list) else [keys]
    if not all(isinstance(key, str) for key in names) or not names:
        raise section.refused("expected image, or [image, label]", "keys")
    if "image" in names and names[0] != "image":
        raise section.refused(f"{as_yaml(keys)}: write image first", "keys")
    if len(names) > 1:
        mode = rest.get("mode")
        if isinstance(mode, list) and len(mode) == len(names):  # the image's is the first
            rest["mode"] = mode[0]
    return rest, "image" in names


def _transform(
    section: ConfigSection, name: str, given: dict[str, Any]
) -> tuple[PreprocessingSettings, Mapping[str, Any]]:
    record = TRANSFORMS.get(name)
    if record is None:
        raise section.refused(f"{name!r:.60} {_why_not(name)}", "_target_")
    from monai import transforms

    defaults = monai_defaults(getattr(transforms, name))
    has = defaults | {key: given[key] for key in _MAKES_NO_DIFFERENCE if key in given}
    if name == "CropForegroundd":
        has |= {"source_key": "image", "allow_smaller": given.get("allow_smaller")}
        if given.get("margin") and given.get("allow_smaller") is not True:
            raise section.refused(
                "a study's box never reaches beyond the image: write allow_smaller: true", "margin"
            )
    written = taken(section, given, record, has)
    for key, field in record.model_fields.items():
        default = spelled(key, defaults.get(key))
        is_own = field.is_required() or default == spelled(key, field.default)
        if not is_own and key not in (*written, "target"):
            written[key] = default
    try:
        settings = _TRANSFORM.validate_python({"_target_": name, **written})
    except ValidationError as error:
        keys = sorted(record.model_fields)
        lines = faults(section.file, section.tree, keys, error, section.path)
        raise StudyRefused("\n".join(lines)) from error
    return settings, {"_target_": name, **written}


def _why_not(name: str) -> str:
    if name.startswith("Rand"):
        return (
            "draws at random: task.augmentation of the study is the place for it, take it out of "
            "the bundle's preprocessing"
        )
    if "." in name or name in ("Lambdad", "RandLambdad"):
        return "is code that the bundle or a library brings: no study runs it"
    return f"is not built{nearest(name, [*TRANSFORMS])}; a study takes {', '.join(TRANSFORMS)}"
