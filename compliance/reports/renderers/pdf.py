"""Draws a document as PDF/A-2a that is PDF/UA-1 too: tagged, with bookmarks and page numbers.

The same document gives the same bytes on every machine: only the fonts inside Typst are used, and
the document is dated by its records.
"""

from importlib.util import find_spec
from typing import Literal

from compliance.reports.document import Document
from compliance.reports.renderers.typst_source import typst_source
from protocol.errors import WorkspaceRefused

#: The conformance that Typst checks while it writes: PDF/A-2a for archives, PDF/UA-1 for readers.
STANDARDS: tuple[Literal["a-2a", "ua-1"], ...] = ("a-2a", "ua-1")
INSTALL = "pip install 'collegium[reports]'"


def render_pdf(document: Document) -> bytes:
    """Returns a document as PDF.

    Raises:
        WorkspaceRefused: Typst is not installed, or has no letter or way for this document; says
            what to do.
    """
    if find_spec("typst") is None:
        raise WorkspaceRefused(f"a PDF needs typst, which is not installed here: {INSTALL}")
    import typst

    fonts = typst.Fonts(include_system_fonts=False, include_embedded_fonts=True)
    try:
        drawn: bytes = typst.compile(
            typst_source(document).encode(),
            format="pdf",
            pdf_standards=[*STANDARDS],
            font_paths=fonts,
        )
    except typst.TypstError as error:
        raise WorkspaceRefused(
            f"the PDF cannot be drawn: {str(error)[:300]}; the other formats can: --format html"
        ) from error
    return drawn
