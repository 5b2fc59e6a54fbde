"""Finds what was added to a report's PDF beside signatures: pages are what was exported, and bare.

Rules:

1. Every object of the report is in the file as it was, but those that a signature has to touch: the
   catalog gains a form, a page the place of a signature, and the metadata a date.
2. That form holds signature fields alone, and none of them is seen: what lies over a page could say
   something else than the page.

A signature of somebody covers the whole file, so it says nothing about what was added before it.
"""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

_OF_CATALOG = frozenset({"/AcroForm", "/Extensions", "/Version"})
_OF_FORM = frozenset({"/Fields", "/SigFlags"})
_OF_FIELD = frozenset({"/FT", "/T", "/Type", "/Subtype", "/F", "/Rect", "/P", "/V", "/Lock", "/SV"})


def added_faults(report: bytes, data: bytes) -> list[str]:
    """Returns in sentences what a file shows beyond the report with which it begins.

    Args:
        report: the PDF as it was exported.
        data: the file, which begins with it.
    """
    from pyhanko.pdf_utils.misc import PdfError
    from pyhanko.pdf_utils.reader import PdfFileReader

    try:
        before, after = PdfFileReader(BytesIO(report)), PdfFileReader(BytesIO(data))
        return list(dict.fromkeys(_faults(before, after)))
    except (PdfError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        return [f"CHANGED: what follows the report in its file cannot be read: {error}"]


def _faults(before: Any, after: Any) -> Iterator[str]:
    root, info = before.root_ref, before.trailer.raw_get("/Info").reference
    metadata = before.root.raw_get("/Metadata").reference
    if after.root_ref != root or "/Encrypt" in after.trailer:
        yield "CHANGED: the file shows another document than the report with which it begins"
        return
    for ref in before.xrefs.explicit_refs_in_revision(0):
        old, new = before.get_object(ref), after.get_object(ref)
        if ref == root:
            is_same = _without(old, new, _OF_CATALOG)
        elif isinstance(old, dict) and old.get("/Type") == "/Page":
            is_same = _without(old, new, frozenset({"/Annots"})) and _annotated(old, new)
        else:
            is_same = ref in (info, metadata) or _bytes(old) == _bytes(new)
        if not is_same:
            yield "CHANGED before it was signed: the file shows other pages than the report's"
    if "/AcroForm" in after.root:
        yield from _form_faults(after.root["/AcroForm"])


def _without(old: Any, new: Any, allowed: frozenset[str]) -> bool:
    """Whether a dictionary is as it was, but for keys that may be added or changed."""
    names = {*old, *new} - allowed
    return all(
        name in old and name in new and _bytes(old.raw_get(name)) == _bytes(new.raw_get(name))
        for name in names
    )


def _annotated(old: Any, new: Any) -> bool:
    """Whether a page has its annotations as before, and after them the places of signatures."""
    kept, found = old.get("/Annots", ()), new.get("/Annots", ())
    same = [_bytes(one) for one in kept] == [_bytes(one) for one in found][: len(kept)]
    return same and all(map(_is_unseen_signature, _items(found)[len(kept) :]))


def _form_faults(form: Any) -> Iterator[str]:
    fields = _items(form.get("/Fields", ()))
    if not {*form} <= _OF_FORM or not all(map(_is_unseen_signature, fields)):
        yield "CHANGED: the file holds a form, or a signature that is seen, over the report's pages"


def _is_unseen_signature(field: Any) -> bool:
    left, bottom, right, top = (float(side) for side in field["/Rect"])
    unseen = left == right and bottom == top
    return unseen and {*field} <= _OF_FIELD and field.get("/FT") == "/Sig"


def _items(array: Any) -> list[Any]:
    """Returns what an array holds, each followed to where it stands."""
    return [array[place] for place in range(len(array))]


def _bytes(value: Any) -> bytes:
    written = BytesIO()
    value.write_to_stream(written, None)
    return written.getvalue()
