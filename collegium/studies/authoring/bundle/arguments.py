"""Arguments that a bundle gives to one of MONAI's classes, as a study may write them.

A study knows fewer arguments than MONAI. One that it does not know may stand in a bundle where it
says what the study's own object has anyway; any other is refused with those that are allowed.
"""

import inspect
import json
from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any

from collegium.studies.authoring.bundle.config import ConfigSection
from protocol.study.frozen_model import FrozenModel

#: In place of a default, of an argument that must be given.
REQUIRED = inspect.Parameter.empty
#: Options of norms and activations that say what holds without them.
_IMPLIED: Mapping[str, Mapping[str, Any]] = {
    "instance": {"affine": False, "eps": 1e-5, "momentum": 0.1, "track_running_stats": False},
    "group": {"affine": True, "eps": 1e-5},
    "leakyrelu": {"negative_slope": 0.01},
    "prelu": {"num_parameters": 1, "init": 0.25},
    "gelu": {"approximate": "none"},
}


def monai_defaults(made: Any) -> dict[str, Any]:
    """Returns the arguments of one of MONAI's classes with their defaults, or ``REQUIRED``.

    What it hands on to the class that it extends belongs to it.
    """
    found: dict[str, Any] = {}
    for one in inspect.getmro(made):
        if one is object or "__init__" not in vars(one):
            continue
        own = [
            p
            for p in inspect.signature(vars(one)["__init__"]).parameters.values()
            if p.name != "self"
        ]
        named = [p for p in own if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        found = {p.name: p.default for p in named} | found
        if all(p.kind is not p.VAR_KEYWORD for p in own):
            break
    return found


def spelled(key: str, value: Any) -> Any:
    """Returns a value as a study spells it: equal values are equal.

    Names of norms and activations are in lower case, without options that hold anyway, and
    ``inplace``, which changes no value, is left out.

    >>> spelled("norm", ("GROUP", {"num_groups": 8})), spelled("act", ["ReLU", {"inplace": True}])
    (['group', {'num_groups': 8}], 'relu')
    """
    value = _plain(value)
    is_layer = key.startswith(("act", "norm"))
    if isinstance(value, str) and is_layer:
        return value.lower()
    if isinstance(value, list | tuple):
        items = [spelled(key, item) for item in value]
        if is_layer and len(items) == 2 and isinstance(items[1], dict):
            implied = _IMPLIED.get(str(items[0]), {})
            options = {
                name: option
                for name, option in items[1].items()
                if name != "inplace" and (name not in implied or implied[name] != option)
            }
            return [items[0], options] if options else items[0]
        return items
    return value


def taken(
    section: ConfigSection,
    given: Mapping[str, Any],
    record: type[FrozenModel],
    has: Mapping[str, Any],
    apart: Collection[str] = (),
) -> dict[str, Any]:
    """Returns those of a bundle's arguments that a study's record knows, spelled as a study does.

    Args:
        section: of the object, for messages.
        given: its arguments.
        record: the study's.
        has: what the study's own object has of MONAI's arguments: MONAI's default, or another.
        apart: arguments that are read elsewhere.

    Raises:
        StudyRefused: an argument is not MONAI's, or says something that no study can.
    """
    known = [name for name in record.model_fields if name != "target"]
    found = {}
    for name, value in given.items():
        if name in known:
            found[name] = spelled(name, value)
        elif name not in has:
            raise section.refused(f"MONAI has no such argument; {_allowed(known)}", name)
        elif name not in apart and spelled(name, value) != spelled(name, has[name]):
            raise section.refused(
                f"{as_yaml(value)}: a study has no such argument"
                + ("" if has[name] is REQUIRED else f", and {as_yaml(has[name])} in its place")
                + f"; {_allowed(known)}",
                name,
            )
    return found


def as_yaml(value: Any) -> str:
    """Returns a value as YAML writes it on one line.

    >>> as_yaml(["group", {"num_groups": 8}]), as_yaml(None), as_yaml(True), as_yaml("a: b")
    ('[group, {num_groups: 8}]', 'null', 'true', '"a: b"')
    """
    value = _plain(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(as_yaml(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{as_yaml(k)}: {as_yaml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, str) and value.replace("_", "a").replace("-", "a").isalnum():
        plain = value[0].isalpha() or value[0] == "_"
        if plain and value.lower() not in ("null", "true", "false", "yes", "no", "on", "off"):
            return value
    return json.dumps(value, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """Returns a default that is a member of an enumeration, or a type, as a bundle writes it."""
    if isinstance(value, Enum):
        return value.value
    return value.__name__ if isinstance(value, type) and value is not REQUIRED else value


def _allowed(known: Collection[str]) -> str:
    return f"allowed are {', '.join(known)}" if known else "it takes none"
