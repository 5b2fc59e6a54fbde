"""A bundle's facts about itself: whose it is, under which licence, the images that it takes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from collegium.studies.authoring.bundle.config import json_value
from collegium.studies.authoring.bundle.files import METADATA, BundleFiles
from protocol.errors import StudyRefused

_MAX_BYTES = 1 << 20
#: As long as ``Pretrained.source`` may be.
_MAX_SOURCE = 300


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """Facts of ``configs/metadata.json``; what is not said is empty, or None.

    ``sides``, ``value_range`` and ``unit`` are of the network's input, ``classes`` the names of
    the network's outputs, in their order.
    """

    version: str
    description: str
    authors: str
    copyright: str
    licence: str
    data_source: str
    unit: str
    sides: tuple[int, ...] | None
    value_range: tuple[float, float] | None
    classes: tuple[str, ...]

    def source(self, name: str) -> str:
        """Returns where the weights are from, in one sentence for a hospital's officers."""
        version = f" {self.version}" if self.version else ""
        facts = [
            self.description,
            f"data: {self.data_source}" if self.data_source else "",
            self.authors,
            self.copyright,
            f"licence: {self.licence}" if self.licence else "",
        ]
        words = [f"MONAI bundle {name}{version}"]
        left = _MAX_SOURCE - len(words[0]) - sum(min(len(f), 60) + 2 for f in facts if f)
        for fact in facts:  # each gets its 60 letters, the first ones what is left over
            if fact:
                more = max(0, min(left, len(fact) - 60))
                left -= more
                words.append(_shortened(fact, 60 + more))
        return _shortened("; ".join(words), _MAX_SOURCE)


def read_metadata(files: BundleFiles) -> Metadata:
    """Returns what a bundle says of itself.

    Raises:
        StudyRefused: it is no JSON, or names sizes or classes that are none.
    """
    file = files.shown_path(METADATA)
    try:
        text = files.read(METADATA, _MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StudyRefused(f"{file}: cannot be read: it is not UTF-8 text") from error
    found = json_value(text, file)
    if not isinstance(found, dict):
        raise StudyRefused(f"{file}: expected an object with version, description, ...")
    image = _within(found, "network_data_format", "inputs", "image")
    output = _within(found, "network_data_format", "outputs", "pred", "channel_def")
    licences = sorted(name for name in files.sizes if name.startswith("LICENSE"))
    return Metadata(
        version=_words(found.get("version")),
        description=_words(found.get("description")),
        authors=_words(found.get("authors")),
        copyright=_words(found.get("copyright")),
        licence=_words(found.get("license")) or (f"see {licences[0]}" if licences else ""),
        data_source=_words(found.get("data_source")),
        unit=_words(image.get("format")),
        sides=_sides(image.get("spatial_shape")),
        value_range=_range(image.get("value_range")),
        classes=_classes(output),
    )


def _within(found: Any, *steps: str) -> Mapping[str, Any]:
    for step in steps:
        found = found.get(step) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _words(value: Any) -> str:
    """Returns a text as one line of letters that every terminal and YAML file may hold."""
    given = (
        value
        if isinstance(value, str)
        else ", ".join(map(str, value))
        if isinstance(value, list)
        else ""
    )
    plain = "".join(letter if letter.isprintable() else " " for letter in given)
    return " ".join(plain.split())


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3].rstrip()}..."


def _sides(value: Any) -> tuple[int, ...] | None:
    """Returns sides that are numbers; None of such as ``8*n`` and ``*``, which leave them open."""
    if not isinstance(value, list) or len(value) not in (2, 3):
        return None
    plain = all(isinstance(s, int) and not isinstance(s, bool) and s > 0 for s in value)
    return tuple(value) if plain else None


def _range(value: Any) -> tuple[float, float] | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
        return None
    return (
        (value[0], value[1])
        if abs(value[0]) <= 1e9 and abs(value[1]) <= 1e9 and (value[0] < value[1])
        else None
    )


def _classes(named: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the outputs' names where they are numbered from 0, and all different."""
    names = [_words(named.get(str(place))) for place in range(len(named))]
    return tuple(names) if all(names) and len({*names}) == len(names) else ()
