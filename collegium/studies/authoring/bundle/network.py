"""The network of a bundle, in a study's form: MONAI's name, and every argument that differs.

Rules:

1. The name and the arguments are a study's: its allow-list, with its ranges, by its own records.
2. An argument that the bundle leaves out has MONAI's default, written into the study where a
   study's own is another. Where a study cannot have MONAI's, that is said.
3. Channels, sides and outputs follow from cohort and task; what a bundle says of them is kept
   beside, to be compared.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from collegium.studies.authoring.bundle.arguments import (
    REQUIRED,
    as_yaml,
    monai_defaults,
    spelled,
    taken,
)
from collegium.studies.authoring.bundle.config import ConfigSection
from protocol.errors import StudyRefused
from protocol.study.documents.yaml_document import faults
from protocol.study.study import nearest
from protocol.study.task.networks.fusions import LateFusion
from protocol.study.task.networks.network import NetworkSettings
from protocol.study.task.networks.registry import NETWORKS, Network

#: What a study's network has where MONAI's default is another, of arguments that no study names.
_HAS: Mapping[str, Mapping[str, Any]] = {
    "ViT": {"classification": True, "post_activation": "none"},
    "EfficientNet": {"pretrained": False},
    "ResNet": {"norm": "group norm of up to 32 groups"},
}
_CHANNELS = ("in_channels", "n_input_channels")
_OUTPUTS = ("out_channels", "num_classes", "classes")
_FORMS = ("in_shape", "out_shape", "img_size")
_APART = (*_CHANNELS, *_OUTPUTS, *_FORMS)
#: Sizes that may be written for every axis.
_SIZES = re.compile(r".*(kernel_size|strides|patch_size|conv1_t_size|conv1_t_stride)")
_FROM_MONAI = re.compile(r"monai\.networks\.nets\.(?:\w+\.)?(\w+)")
_NETWORK: TypeAdapter[NetworkSettings] = TypeAdapter(Network)


@dataclass(frozen=True, kw_only=True)
class BundleNetwork:
    """A network as a study writes it, and what the bundle says of images and outputs.

    ``written`` has the keys of ``task.network``. ``sides`` and ``axes`` are None where the bundle
    leaves them open.
    """

    settings: NetworkSettings
    written: Mapping[str, Any]
    sides: tuple[int, ...] | None
    axes: int | None
    outputs: int
    notes: tuple[str, ...]


def read_network(section: ConfigSection) -> BundleNetwork:
    """Returns the network of a section.

    Raises:
        StudyRefused: it is not on the list, or has an argument that no study can have.
    """
    if not isinstance(section.value, dict):
        raise section.refused("a network is written {_target_: NAME, ...}")
    given = {key: value for key, value in section.value.items() if key not in ("_desc_",)}
    target = _target(section, given.pop("_target_", None))
    if given.pop("_disabled_", False) not in (False, "false", "False"):
        raise section.refused("the bundle's network is not in use", "_disabled_")
    record, defaults = NETWORKS[target], _defaults(target)
    if record.cohort != "images":
        raise section.refused(
            f"{target} is for tables, whose columns no bundle names: write it into a study made "
            "by --template",
            "_target_",
        )
    has = defaults | dict(_HAS.get(record.__name__, {}))
    written = taken(section, given, record, has, _APART)
    written = {k: _norm(section, target, k, _even(target, k, v)) for k, v in written.items()}
    notes = []
    for name, field in record.model_fields.items():
        default = _default_norm(target, name, spelled(name, defaults.get(name, REQUIRED)))
        if name in (*written, "target") or default in (REQUIRED, _own(field.default)):
            continue
        if _is_valid(record, target, {name: default}, written):
            written[name] = default
        else:
            notes.append(_differs(name, default, _own(field.default)))
    notes += [
        _differs(name, defaults[name], has[name])
        for name in _HAS.get(record.__name__, {})
        if name not in given
    ]
    if target == "EfficientNetBN":
        notes.append("network: its dropout and stochastic depth, which are random, are left out")
    try:
        settings = _NETWORK.validate_python({"_target_": target, **written})
    except ValidationError as error:
        keys = sorted(record.model_fields)
        lines = faults(section.file, section.tree, keys, error, section.path)
        raise StudyRefused("\n".join(lines)) from error
    sides = _sides(section, given, written)
    _require_one_channel(section, given, defaults)
    return BundleNetwork(
        settings=settings,
        written={"_target_": target, **written},
        sides=sides,
        axes=written.get("spatial_dims", len(sides) if sides else None),
        outputs=_outputs(section, given, defaults),
        notes=tuple(notes),
    )


def _target(section: ConfigSection, name: Any) -> str:
    found = _FROM_MONAI.fullmatch(name) if isinstance(name, str) else None
    target = found[1] if found else name
    of_monai = [each for each, record in NETWORKS.items() if record is not LateFusion]
    if isinstance(target, str) and target in of_monai:
        return target
    close = nearest(target, of_monai) if isinstance(target, str) else ""
    raise section.refused(
        f"{name!r:.60} is not built{close}; _target_ is one of {', '.join(of_monai)}", "_target_"
    )


def _defaults(target: str) -> dict[str, Any]:
    from monai.networks import nets
    from monai.networks.nets import resnet

    made = getattr(nets, target)
    if isinstance(made, type):
        return monai_defaults(made)
    # resnet18 and the like are functions that choose the layers of one class.
    found = monai_defaults(resnet.ResNet)
    return {"pretrained": False, "progress": True} | {
        name: value
        for name, value in found.items()
        if name not in ("block", "layers", "block_inplanes")
    }


def _own(default: Any) -> Any:
    """Returns a study's default as a bundle would write it."""
    if isinstance(default, tuple):
        return [_own(item) for item in default]
    return default.model_dump() if hasattr(default, "model_dump") else default


def _even(target: str, name: str, value: Any) -> Any:
    """Returns a size that is the same for every axis as one number, and so in a list of sizes."""
    if not _SIZES.fullmatch(name) or not isinstance(value, list):
        return value
    by_level = target == "DynUNet" or name == "strides"
    return [_alike(item) for item in value] if by_level else _alike(value)


def _alike(value: Any) -> Any:
    if isinstance(value, list) and len(value) in (2, 3) and len(set(map(str, value))) == 1:
        return value[0] if isinstance(value[0], int) else value
    return value


def _norm(section: ConfigSection, target: str, name: str, value: Any) -> Any:
    """Returns DynUNet's instance norm, which has parameters, by a study's name for it."""
    if name.startswith("norm") and target != "DynUNet" and value == ["instance", {"affine": True}]:
        raise section.refused(
            "instance norm of a study has no parameters of its own: write instance, or [group, "
            "{num_groups: 8}]",
            name,
        )
    if target == "DynUNet" and name == "norm_name":
        if value == "instance":
            raise section.refused(
                "instance norm of a study's DynUNet has parameters: write [INSTANCE, {affine: "
                "true}]",
                name,
            )
        return _default_norm(target, name, value)
    return value


def _default_norm(target: str, name: str, value: Any) -> Any:
    affine = ["instance", {"affine": True}]
    return "instance" if (target, name) == ("DynUNet", "norm_name") and value == affine else value


def _is_valid(
    record: type[NetworkSettings], target: str, more: Mapping[str, Any], written: Mapping[str, Any]
) -> bool:
    """Returns whether a study may have an argument, whatever is wrong with the others."""
    try:
        record.model_validate({"_target_": target, **written, **more})
    except ValidationError as error:
        return not any(problem["loc"][:1] == (next(iter(more)),) for problem in error.errors())
    return True


def _differs(name: str, default: Any, own: Any) -> str:
    return (
        f"network.{name}: MONAI's own default is {as_yaml(default)}; the study has {as_yaml(own)}"
    )


def _sides(
    section: ConfigSection, given: Mapping[str, Any], written: Mapping[str, Any]
) -> tuple[int, ...] | None:
    """Returns the sides of the images that the network is made for, where it says so."""
    if "in_shape" in given:
        shape = given["in_shape"]
        if not _are_counts(shape) or len(shape) not in (3, 4):
            raise section.refused(f"{as_yaml(shape)}: expected channels and sides", "in_shape")
        if shape[0] != 1:
            raise section.refused(_one_channel(shape[0]), "in_shape")
        return tuple(shape[1:])
    size = given.get("img_size")
    axes = written.get("spatial_dims", 3)
    if isinstance(size, int) and size > 0 and isinstance(axes, int):
        return (size,) * axes
    if size is not None and not _are_counts(size):
        raise section.refused(f"{as_yaml(size)}: expected sides in pixels", "img_size")
    return tuple(size) if size is not None else None


def _require_one_channel(
    section: ConfigSection, given: Mapping[str, Any], defaults: Mapping[str, Any]
) -> None:
    for name in _CHANNELS:
        if name not in defaults:
            continue
        found = given.get(name, defaults[name])
        if found != 1 or isinstance(found, bool):
            told_of = "" if name in given else " (MONAI's default, as the bundle leaves it out)"
            found = "nothing" if found is REQUIRED else found
            raise section.refused(_one_channel(f"{found}{told_of}"), name)


def _one_channel(found: object) -> str:
    return f"{found}: an image has one channel here, so weights for others do not fit"


def _outputs(section: ConfigSection, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> int:
    if "out_shape" in given:
        shape = given["out_shape"]
        if not _are_counts(shape) or len(shape) != 1:
            raise section.refused(f"{as_yaml(shape)}: expected one number in a list", "out_shape")
        return int(shape[0])
    for name in _OUTPUTS:
        found = given.get(name, defaults.get(name))
        if name in given or found not in (None, REQUIRED):
            if not _are_counts([found]):
                raise section.refused(f"{as_yaml(found)}: expected a number of outputs", name)
            return int(found)
    raise section.refused("the number of outputs (out_channels, num_classes, ...) is missing")


def _are_counts(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, int) and not isinstance(item, bool) and item > 0 for item in value
    )
