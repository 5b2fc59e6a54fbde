"""The documentation site: every page in it, links that work there, a reference of every module."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.docs.site import check, navigation, pages
from tests.docs.site.contents import contents
from tests.docs.site.module_page import Module
from tests.docs.site.reference import modules, packages, reference

SOURCE = '''
"""A module. Its second sentence.

More.
"""

from protocol.secagg.messages import Masked

#: Seconds between two attempts.
REST = 2.0
HIDDEN = 3


def sums(parts: list[Masked], *, most: int = 3) -> Masked:
    """Returns the sum.

    Raises:
        ValueError: there is none.
    """


def _own() -> None:
    """Stays out."""


class Kept:
    """Keeps a sum."""

    def __init__(self, sum_: int) -> None:
        """Keeps it."""

    @property
    def half(self) -> float:
        """The half of it."""
'''


def test_every_page_has_its_place_in_the_contents() -> None:
    """A new page is named in ``tests/docs/site/contents.py``."""
    places = [pages.place_of(source) for source in pages.sources()]
    assert contents(places).count("{toctree}") == 7
    with pytest.raises(ValueError, match="differ: \\['new'\\]"):
        contents([*places, "new.md"])
    with pytest.raises(ValueError, match="differ: \\['study'\\]"):
        contents([place for place in places if place != "study.md"])


def test_links_lead_to_pages_modules_and_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    (tmp_path / "docs/adr").mkdir(parents=True)
    (tmp_path / "protocol").mkdir()
    for name in ("README.md", "docs/adr/README.md", "protocol/codec.py", "docs/plan.yaml"):
        (tmp_path / name).write_text("# There\n")
    page = tmp_path / "docs/adr/0001-first.md"
    page.write_text(
        "[a](../../README.md#who) [b](README.md) [`c`](../../protocol/codec.py) [d](../plan.yaml)\n"
        "[e](#here) [f](https://example.org) [g](../adr) `[h](none.md)`\n```\n[i](none.md)\n```\n"
    )
    copied: dict[str, Path] = {}
    assert pages.page_text(page, copied) == (
        "[a](../overview.md#who) [b](index.md) {py:mod}`c <protocol.codec>` "
        "[d](../files/docs/plan.yaml)\n"
        "[e](#here) [f](https://example.org) [g](index.md) `[h](none.md)`\n"
        "```\n[i](none.md)\n```\n"
    )
    assert copied == {"files/docs/plan.yaml": tmp_path / "docs/plan.yaml"}
    page.write_text("[a](none.md)")
    with pytest.raises(pages.BrokenLink, match=r"0001-first.md links to none.md"):
        pages.page_text(page, copied)


def test_a_module_is_described_by_its_public_names() -> None:
    text = Module(name="protocol.example", source=SOURCE).page()
    assert ".. py:module:: protocol.example" in text
    signature = "parts: list[protocol.secagg.messages.Masked], *, most: int=3"
    returned = "protocol.secagg.messages.Masked"
    assert f".. py:function:: sums({signature}) -> {returned}" in text
    assert "   :raises ValueError: there is none." in text
    assert ".. py:data:: REST\n   :value: 2.0\n\n   Seconds between two attempts." in text
    assert ".. py:class:: Kept(sum_: int)" in text
    assert "   .. py:property:: half\n      :type: float" in text
    assert "HIDDEN" not in text and "_own" not in text


def test_the_list_at_the_side_marks_the_page_and_opens_what_it_stands_below() -> None:
    box = '<input type="checkbox" />'
    tree = ElementTree.fromstring(  # noqa: S314  our own
        '<div><ul><li class="l1"><a href="study.html">Study</a></li>'
        f'<li class="l1"><a href="adr/index.html">Decisions</a>{box}'
        '<ul><li class="l2"><a href="adr/0001-first.html">First</a></li></ul></li></ul></div>'
    )
    before = ElementTree.tostring(tree)
    assert navigation.marked(tree, "adr/0001-first") == (
        '<ul class="current"><li class="l1"><a href="../study.html">Study</a></li>'
        '<li class="l1 current"><a href="../adr/index.html">Decisions</a>'
        '<input type="checkbox" checked="">'
        '<ul class="current"><li class="l2 current-page current">'
        '<a href="#" class="current">First</a></li></ul></li></ul>'
    )
    assert 'href="adr/0001-first.html"' in navigation.marked(tree, "study")
    assert ElementTree.tostring(tree) == before


@pytest.mark.long  # make check builds the whole site
def test_the_reference_has_every_module() -> None:
    described = reference()
    text = "\n".join(described.values())
    for package in packages():
        for module in modules(package):
            assert f".. py:module:: {module.name}\n" in text
            assert module.first_line
    assert len(re.findall("^.. py:module::", text, re.MULTILINE)) > 300
    assert sum(place.endswith(".rst") for place in described) == len(packages()) + 1


def test_what_a_browser_would_fetch_from_elsewhere_is_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<link rel="stylesheet" href="https://fonts.example/x.css"><link rel="next" href="b.html">'
        '<script src="//cdn.example/y.js"></script><img src="own.png"><a href="https://example.org">'
    )
    (tmp_path / "a.css").write_text(
        '@import "https://fonts.example/z.css"; a { top: url(own.svg) }'
    )
    assert check.fetched(tmp_path) == [
        "a.html fetches https://fonts.example/x.css",
        "a.html fetches //cdn.example/y.js",
        "a.css fetches https://fonts.example/z.css",
    ]
