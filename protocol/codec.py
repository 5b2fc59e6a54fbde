"""The JSON form of a signed record's fields, written and read back strictly.

Rules:

1. A record is a JSON object with exactly its fields; an unknown or a missing
   key is refused.
2. Every field names its ``FieldCodec``: one way to write it, one way to read it,
   and a bound on its size. What is read and written again gives the same bytes.
3. There are no floating-point numbers: integers below 2**53, text, bytes as
   hexadecimal digits or base64.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeAlias, TypeVar, get_type_hints

from protocol.encoding import Json
from protocol.errors import MessageRefused

#: More hospitals than any consortium this protocol is meant for.
MAX_SITES = 256

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class FieldCodec(Generic[T]):
    """An inverse pair; ``read`` raises MessageRefused for anything ``write`` cannot have made."""

    write: Callable[[T], Json]
    read: Callable[[Json], T]


def integer(low: int, high: int) -> FieldCodec[int]:
    """Integers from ``low`` to ``high``, both included; true and 1.0 are not integers."""

    def read(value: Json) -> int:
        if type(value) is not int or not low <= value <= high:
            raise MessageRefused(f"expected an integer from {low} to {high}")
        return value

    return FieldCodec(write=lambda value: value, read=read)


def text(pattern: str) -> FieldCodec[str]:
    """Returns the form of text that matches a pattern from its first to its last character."""
    matches = re.compile(pattern).fullmatch

    def read(value: Json) -> str:
        if not isinstance(value, str) or not matches(value):
            raise MessageRefused(f"expected text of the form {pattern}")
        return value

    return FieldCodec(write=lambda value: value, read=read)


def hex_bytes(length: int) -> FieldCodec[bytes]:
    """Returns the form of exactly ``length`` bytes, as lower-case hexadecimal digits."""

    def read(value: Json) -> bytes:
        if not isinstance(value, str) or not _is_hex(value, 2 * length):
            raise MessageRefused(f"expected {2 * length} lower-case hexadecimal digits")
        return bytes.fromhex(value)

    return FieldCodec(write=bytes.hex, read=read)


def base64_bytes(most: int) -> FieldCodec[bytes]:
    """Returns the form of at most ``most`` bytes, as base64 in its one canonical spelling."""

    def write(value: bytes) -> str:
        return base64.b64encode(value).decode("ascii")

    def read(value: Json) -> bytes:
        if not isinstance(value, str) or len(value) > 4 * (most // 3 + 1):
            raise MessageRefused(f"expected base64 of at most {most} bytes")
        try:
            data = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise MessageRefused("expected base64") from error
        if len(data) > most or write(data) != value:
            raise MessageRefused(f"expected canonical base64 of at most {most} bytes")
        return data

    return FieldCodec(write=write, read=read)


def list_of(item: FieldCodec[T], most: int) -> FieldCodec[tuple[T, ...]]:
    """Returns the form of at most ``most`` items, in order."""

    def read(value: Json) -> tuple[T, ...]:
        if not isinstance(value, list) or len(value) > most:
            raise MessageRefused(f"expected a list of at most {most}")
        return tuple(item.read(entry) for entry in value)

    return FieldCodec(write=lambda value: [item.write(entry) for entry in value], read=read)


def map_of(item: FieldCodec[T], most: int) -> FieldCodec[Mapping[str, T]]:
    """Returns the form of at most ``most`` items, each under a site's name."""

    def write(value: Mapping[str, T]) -> Json:
        return {site: item.write(entry) for site, entry in value.items()}

    def read(value: Json) -> Mapping[str, T]:
        if not isinstance(value, dict) or len(value) > most:
            raise MessageRefused(f"expected a map of at most {most} sites")
        return {SITE_NAME.read(site): item.read(entry) for site, entry in value.items()}

    return FieldCodec(write=write, read=read)


def optional(item: FieldCodec[T]) -> FieldCodec[T | None]:
    """Returns the form of null, or of what the other form says."""

    def write(value: T | None) -> Json:
        return None if value is None else item.write(value)

    def read(value: Json) -> T | None:
        return None if value is None else item.read(value)

    return FieldCodec(write=write, read=read)


def nested(record: type[R]) -> FieldCodec[R]:
    """Returns the form of a record inside a record."""
    return FieldCodec(write=to_json, read=lambda value: from_json(record, value))


def to_json(record: Any) -> dict[str, Json]:
    """Returns a record's fields as JSON; the inverse of ``from_json``."""
    forms = _forms(type(record))
    return {name: form.write(getattr(record, name)) for name, form in forms.items()}


def from_json(record: type[R], value: Json) -> R:
    """Returns the record that a JSON value holds.

    Raises:
        MessageRefused: a key is unknown or missing, a field has another form,
            or the record refuses itself. The message names the field, not its value.
    """
    fields = _read(record, value)
    try:
        return record(**fields)
    except ValueError as error:
        raise MessageRefused(str(error)) from error


def require_forms(record: Any) -> None:
    """Checks that every field of a record has its form, so that it can be written and read back.

    Raises:
        ValueError: a field has another type or is out of its form's range.
    """
    try:
        again = _read(type(record), to_json(record))
    except (MessageRefused, AttributeError, TypeError) as error:
        raise ValueError(f"{type(record).__name__}: {error}") from error
    wrong = [name for name, value in again.items() if value != getattr(record, name)]
    if wrong:
        raise ValueError(f"{type(record).__name__}: {', '.join(wrong)} has another type")


def _read(record: type, value: Json) -> dict[str, Any]:
    forms = _forms(record)
    if not isinstance(value, dict) or value.keys() != forms.keys():
        raise MessageRefused(f"expected exactly the fields {', '.join(sorted(forms))}")
    fields = {}
    for name, form in forms.items():
        try:
            fields[name] = form.read(value[name])
        except MessageRefused as error:
            raise MessageRefused(f"{name}: {error}") from error
    return fields


def _forms(record: type) -> dict[str, FieldCodec[Any]]:
    """Returns the form of every field, in the order declared."""
    if record not in _FORMS:
        _FORMS[record] = _read_forms(record)
    return _FORMS[record]


def _read_forms(record: type) -> dict[str, FieldCodec[Any]]:
    forms = {}
    for name, hint in get_type_hints(record, include_extras=True).items():
        found = [
            extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, FieldCodec)
        ]
        if len(found) == 1:
            forms[name] = found[0]
        elif not str(hint).startswith("typing.ClassVar"):
            raise TypeError(f"{record.__name__}.{name} names no form")
    return forms


def _is_hex(value: str, length: int) -> bool:
    return len(value) == length and not value.strip("0123456789abcdef")


_FORMS: dict[type, dict[str, FieldCodec[Any]]] = {}

SITE_NAME = text(r"[a-z0-9][a-z0-9._-]{0,62}")
DIGEST = text(r"[0-9a-f]{64}")

SiteName: TypeAlias = Annotated[str, SITE_NAME]
Digest: TypeAlias = Annotated[str, DIGEST]
