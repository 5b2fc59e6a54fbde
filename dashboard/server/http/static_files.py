"""Streamlit's own scripts, styles and fonts, kept in memory once they were asked for.

A page needs 60 to 130 of them, and reading each from its file takes the server longer than sending
it. Their names hold a digest of their contents, so that a browser keeps them for good.
"""

import functools
import mimetypes
from pathlib import Path

import streamlit
from starlette.responses import Response

_AT = "/static/"
#: For good, as Streamlit has it for names with a digest; the access control makes it private.
_KEPT = {"cache-control": "public, immutable, max-age=31536000"}


def static_answer(method: str, path: str) -> Response | None:
    """Returns the answer to who asks for one of Streamlit's files; None for any other request.

    Only names of the listing are answered, which is made once: no part of a path reaches the disk.
    """
    place = _listing().get(path)
    if method not in ("GET", "HEAD") or place is None:
        return None
    return Response(_contents(place), media_type=_kind(path), headers=_KEPT)


@functools.cache
def _listing() -> dict[str, Path]:
    folder = Path(streamlit.__file__).parent / "static" / "static"
    found = (place for place in folder.rglob("*") if place.is_file())
    return {f"{_AT}{place.relative_to(folder).as_posix()}": place for place in found}


@functools.cache
def _contents(place: Path) -> bytes:
    return place.read_bytes()


def _kind(path: str) -> str:
    return mimetypes.guess_type(path)[0] or "application/octet-stream"
