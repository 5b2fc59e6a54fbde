"""Renderers: a document as HTML, PDF, JSON, CSV or OSCAL; the same document gives the same bytes.

A renderer adds no fact: no clock, no host name, no random identifier. PDF needs the extra
``reports`` of the installed package, and says so where it is missing.
"""

from collections.abc import Callable

from compliance.reports.document import Document
from compliance.reports.renderers.csv_form import guarded, render_csv, wide_csv
from compliance.reports.renderers.html import render_fragment, render_html
from compliance.reports.renderers.json_form import SCHEMA, render_json
from compliance.reports.renderers.oscal import render_oscal
from compliance.reports.renderers.pdf import render_pdf
from compliance.reports.renderers.recipe_text import read_recipe

#: What pages, reports and views use.
__all__ = [
    "FORMS",
    "RENDERERS",
    "SCHEMA",
    "guarded",
    "read_recipe",
    "render_csv",
    "render_fragment",
    "render_html",
    "render_json",
    "render_oscal",
    "render_pdf",
    "rendered",
    "wide_csv",
]

#: The formats of text that any document can be written in, by the name that people type.
RENDERERS: dict[str, Callable[[Document], str]] = {
    "html": render_html,
    "json": render_json,
    "csv": render_csv,
}
#: All formats of a report that people sign.
FORMS: tuple[str, ...] = ("pdf", *RENDERERS, "oscal")


def rendered(document: Document, form: str) -> bytes:
    """Returns a document in a format of ``FORMS``, as the bytes of a file.

    Raises:
        WorkspaceRefused: what draws this format is not installed; says how to install it.
    """
    if form == "pdf":
        return render_pdf(document)
    return (RENDERERS | {"oscal": render_oscal})[form](document).encode()
