"""What a reader's browser would fetch from elsewhere, which must be nothing."""

import re
from html.parser import HTMLParser
from pathlib import Path

_ELSEWHERE = re.compile(r"^(?:https?:)?//")
#: Tags that may fetch: of a page most are others, and reading all takes long.
_FETCHING = re.compile(r"<(?:link\b|[a-z]+\s[^>]*\b(?:src|data)\s*=)[^>]*>", re.IGNORECASE)
_IN_STYLE = re.compile(r"(?:url\(|@import )\s*['\"]?((?:https?:)?//[^'\")\s]+)")
#: Relations of a page to others that no browser fetches.
_NAMED_ONLY = {"author", "canonical", "index", "next", "prev", "search"}


class Page(HTMLParser):
    """The addresses that a browser fetches to show a page."""

    def __init__(self, text: str) -> None:
        """Reads the page."""
        super().__init__()
        self.fetched: list[str] = []
        for tag in _FETCHING.findall(text):
            self.feed(tag)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collects what a tag fetches."""
        given = {name: value or "" for name, value in attrs}
        if tag == "link" and given.get("rel") not in _NAMED_ONLY:
            self.fetched.append(given.get("href", ""))
        self.fetched += [given[name] for name in ("src", "data") if name in given]


def fetched(site: Path) -> list[str]:
    """Returns a line for each address elsewhere that pages or styles of a site fetch."""
    found = []
    for path in sorted(site.rglob("*.html")):
        addresses = Page(path.read_text(encoding="utf-8")).fetched
        found += [
            f"{path.relative_to(site)} fetches {one}" for one in addresses if _ELSEWHERE.match(one)
        ]
    for path in sorted(site.rglob("*.css")):
        addresses = _IN_STYLE.findall(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(site)} fetches {one}" for one in addresses]
    return found
