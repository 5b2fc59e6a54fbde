"""The list of pages at the side, made once: furo makes it anew for each of hundreds of pages.

Pages differ in it by the way to other folders, and by the page that is marked and whose branch is
open.
"""

from copy import deepcopy
from functools import cache
from typing import Any
from xml.etree import ElementTree

from furo.navigation import get_navigation_tree
from sphinx.application import Sphinx
from sphinx.environment.adapters.toctree import global_toctree_for_doc


def use(app: Sphinx) -> None:
    """Lets a site have it."""
    app.connect("html-page-context", _without_furos, priority=400)
    app.connect("html-page-context", _with_ours, priority=600)


def marked(tree: ElementTree.Element, page: str) -> str:
    """Returns the list as it stands beside a page.

    Args:
        tree: the list beside the first page, with furo's classes and boxes.
        page: which page, such as ``adr/0001-first``.
    """
    ours = deepcopy(tree)
    above = {below: item for item in ours.iter() for below in item}
    for link in ours.iter("a"):
        if link.get("href") == f"{page}.html":
            link.set("href", "#")
            item = above[link]
            _add(link, "current"), _add(item, "current-page")
            while item is not ours:
                _open(item)
                item = above[item]
        else:
            link.set("href", "../" * page.count("/") + link.get("href", ""))
    return "".join(ElementTree.tostring(part, encoding="unicode", method="html") for part in ours)


def _open(item: ElementTree.Element) -> None:
    if item.tag in ("li", "ul"):
        _add(item, "current")
    for box in item.findall("input"):
        box.set("checked", "")


def _add(item: ElementTree.Element, name: str) -> None:
    item.set("class", f"{item.get('class', '')} {name}".strip())


@cache
def _whole(app: Sphinx) -> ElementTree.Element:
    first = app.config.root_doc
    found = global_toctree_for_doc(
        app.env, first, app.builder, collapse=False, titles_only=True, maxdepth=-1,
        includehidden=True,
    )  # fmt: skip
    text = app.builder.render_partial(found)["fragment"]
    return ElementTree.fromstring(f"<div>{get_navigation_tree(text)}</div>")  # noqa: S314  our own


def _without_furos(_app: Sphinx, _page: str, _template: str, context: Any, _tree: object) -> None:
    context["toctree"] = lambda **_: ""


def _with_ours(app: Sphinx, page: str, _template: str, context: Any, _tree: object) -> None:
    context["furo_navigation_tree"] = marked(_whole(app), page)
