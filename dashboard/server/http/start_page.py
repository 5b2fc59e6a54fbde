"""Streamlit's start page as this server gives it: its own title, where it is, what it will need.

Streamlit's client asks for the scripts of an element when the element arrives, while the server is
at work on the rest of the page. They are named here, so that a browser has them by then.
"""

import functools
import re
from pathlib import Path

import streamlit

#: Tells Streamlit's client where its own paths are. It would look for them below each page first,
#: and the browser's console would hold an error for each that is not there.
_PLACE = "window.__streamlit = {BACKEND_BASE_URL: window.location.origin};"
#: The address of a page: that of the first, or one word.
_PAGE = re.compile(r"/[a-z]*")
_STATIC = Path(streamlit.__file__).parent / "static"
#: What a script needs before it runs.
_IMPORT = re.compile(r"""(?:from|import)["'`]\./([\w.-]+\.js)["'`]""")
#: The scripts of elements that stand on every page, and beside them those of single pages.
_EVERYWHERE = ("Html", "Selectbox")
_TABLES = ("DataFrame", "Table")
_BY_PAGE = {
    "/": ("PageLink",),
    "/runs": ("DataFrame", "Multiselect", "Slider", "TextInput"),
    "/utility": ("ArrowVegaLiteChart", "DownloadButton", "NumberInput", *_TABLES),
    "/fairness": ("ArrowVegaLiteChart", "DownloadButton", "Checkbox", *_TABLES),
    "/models": ("DataFrame", "StreamlitSyntaxHighlighter"),
    "/audit": ("Button", "DateInput", "DownloadButton", "NumberInput", "TextInput", *_TABLES),
    "/reports": ("ButtonGroup", "DownloadButton", "IFrame", "Metric", "Table"),
    "/sites": ("Table",),
    "/approvals": ("StreamlitSyntaxHighlighter", "Table"),
}


def is_page(path: str) -> bool:
    """Whether a path is the address of a page, for which Streamlit has one start page.

    >>> is_page("/"), is_page("/runs"), is_page("/runs/x"), is_page("/favicon.png")
    (True, True, False, False)
    """
    return _PAGE.fullmatch(path) is not None


@functools.lru_cache(maxsize=64)
def start_page(path: str = "/") -> str:
    """Returns the start page of a page, with links to the scripts of the page's elements."""
    links = "".join(
        f'<link rel="modulepreload" crossorigin href="./static/js/{name}">'
        for name in element_scripts(path)
    )
    page = _index().replace("<title>Streamlit</title>", "<title>Collegium</title>")
    page = page.replace("</head>", f"{links}</head>", 1)
    return page.replace("<head>", f"<head><script>{_PLACE}</script>", 1)


def element_scripts(path: str) -> list[str]:
    """Returns the file names of the scripts of a page's elements, with all that they import.

    Those that Streamlit's own start page names are left out. An element that this version of
    Streamlit has not adds none: the client asks for what it needs, later.
    """
    found: dict[str, None] = {}
    for element in (*_EVERYWHERE, *_BY_PAGE.get(path, ())):
        for script in sorted((_STATIC / "static" / "js").glob(f"{element}.*.js")):
            _add_with_imports(script, found)
    return list(found)


def _add_with_imports(script: Path, found: dict[str, None]) -> None:
    if script.name not in found and script.name not in _index() and script.is_file():
        found[script.name] = None
        for name in _imports(script):
            _add_with_imports(script.with_name(name), found)


@functools.cache
def _imports(script: Path) -> tuple[str, ...]:
    return tuple(match[1] for match in _IMPORT.finditer(script.read_text(encoding="utf-8")))


@functools.cache
def _index() -> str:
    return (_STATIC / "index.html").read_text(encoding="utf-8")


def start_scripts() -> list[str]:
    """Returns the scripts that stand in the page itself."""
    return re.findall(r"<script>(.*?)</script>", start_page(), re.DOTALL)
