"""Draws a document as one HTML page that stands alone, and parts of one for a notebook.

Rules:

1. The page needs no other file, no script and no network; a content security policy in the page
   forbids all three. Pictures stand inside the page, and only there.
2. Every text is escaped.
"""

import base64
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from compliance.facts.formatting import NUMERIC, show
from compliance.reports.basis import MARKS, ReportClaim, basis_text
from compliance.reports.document import Block, Document, Statement, has_pictures
from compliance.reports.renderers.recipe_text import recipe_text

_TEMPLATES = Path(__file__).parent / "templates"


def render_html(document: Document) -> str:
    """Returns one self-contained page, for screens light and dark, and for paper."""
    return _rendered("document", document=document, has_pictures=has_pictures(document))


def render_fragment(
    statements: Sequence[Statement], blocks: Sequence[Block], *, title: str = ""
) -> str:
    """Returns statements and blocks as HTML to stand inside another page, such as a notebook.

    It takes the page's colours and needs no other file, no script and no network. Its rules
    of style are about its own parts only.
    """
    return _rendered("fragment", title=title, statements=statements, blocks=blocks)


def _rendered(name: str, **parts: Any) -> str:
    style = (_TEMPLATES / f"{name}.css").read_text(encoding="utf-8")
    page = _templates().get_template(f"{name}.html")
    return page.render(style=Markup(style), **parts)  # noqa: S704 -- our own file


@functools.cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["is_numeric"] = NUMERIC.__contains__
    environment.globals |= {
        "show": show,
        "kind_of": lambda block: type(block).__name__.lower(),
        "base64": lambda data: base64.b64encode(data).decode(),
        "basis": _basis,
        "recipe_text": recipe_text,
        "drawing": lambda figure: Markup(figure.svg),  # noqa: S704 -- drawn by charts.to_svg
    }
    return environment


def _basis(claim: ReportClaim) -> dict[str, str]:
    """Returns mark, word and words of a statement's basis, as the templates show them."""
    mark, word = MARKS[type(claim.basis)]
    return {"mark": mark, "word": word, "text": basis_text(claim.basis).removeprefix(word)}
