"""Streamlit's start page as this server gives it: with its own title, and knowing where it is."""

import functools
import re
from pathlib import Path

import streamlit

#: Tells Streamlit's client where its own paths are. It would look for them below each page first,
#: and the browser's console would hold an error for each that is not there.
_PLACE = "window.__streamlit = {BACKEND_BASE_URL: window.location.origin};"
#: The address of a page: that of the first, or one word.
_PAGE = re.compile(r"/[a-z]*")


def is_page(path: str) -> bool:
    """Whether a path is the address of a page, for which Streamlit has one start page.

    >>> is_page("/"), is_page("/runs"), is_page("/runs/x"), is_page("/favicon.png")
    (True, True, False, False)
    """
    return _PAGE.fullmatch(path) is not None


@functools.cache
def start_page() -> str:
    """Returns the start page of every page."""
    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    page = page.replace("<title>Streamlit</title>", "<title>Collegium</title>")
    return page.replace("<head>", f"<head><script>{_PLACE}</script>", 1)


def start_scripts() -> list[str]:
    """Returns the scripts that stand in the page itself."""
    return re.findall(r"<script>(.*?)</script>", start_page(), re.DOTALL)
