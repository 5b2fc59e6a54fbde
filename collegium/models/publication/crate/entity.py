"""Entities of RO-Crate metadata, and the values that they have."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

#: One entity of the graph.
Entity: TypeAlias = dict[str, Any]
#: The file that describes a crate, and the crate's own name in it.
METADATA, ROOT = "ro-crate-metadata.json", "./"


def entity(own: str, kind: str, /, **said: Any) -> Entity:
    """Returns an entity without the properties that are None or empty.

    A list of one value is the value itself, as RO-Crate 1.1 recommends.

    >>> entity("#a", "Thing", name="A", about=[{"@id": "./"}], url="")
    {'@id': '#a', '@type': 'Thing', 'name': 'A', 'about': {'@id': './'}}
    """
    found: Entity = {"@id": own, "@type": kind}
    for key, value in said.items():
        if isinstance(value, list | tuple):
            values = list(value)
            value = values[0] if len(values) == 1 else values
        if value is None or value == "" or value == []:
            continue
        found[key] = value
    return found


def refer(*names: str) -> list[dict[str, str]]:
    """Returns references to entities."""
    return [{"@id": name} for name in names]


def refer_to(entities: Iterable[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Returns references to these entities."""
    return refer(*(str(one["@id"]) for one in entities))


def written_time(time: str) -> str:
    """Returns a time of the log as profiles ask for it, with its offset from UTC.

    >>> written_time("2026-01-01T12:00:00.000Z")
    '2026-01-01T12:00:00.000+00:00'
    """
    return f"{time[:-1]}+00:00" if time.endswith("Z") else time
