"""Pages of the site from the Markdown files of the repository.

A page links to others as files of the repository, so that the links work where the repository is
hosted. In the site a link leads

1. to the page that is made of the file, or of the ``README.md`` of the folder;
2. for a Python file of a room, to the module in the reference;
3. for any other file, to a copy of it.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from posixpath import relpath

from tests.structure.floors import ROOMS, ROOT

#: Where the Markdown files stand that become pages.
SOURCES = (
    "*.md",
    "collegium/**/*.md",
    "docs/**/*.md",
    "examples/*/README.md",
    "tests/vectors/**/README.md",
)
#: Code, which is left as it is, or a link with its words and target.
_LINK = re.compile(r"(`+)(?:.|\n)*?\1|\[([^\[\]]*)\]\(([^():\s]+)\)")
_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)


class BrokenLink(ValueError):
    """A page links to a file that is not in the repository."""


def sources() -> list[Path]:
    """Returns the Markdown files of the repository that become pages."""
    return sorted({path for pattern in SOURCES for path in ROOT.glob(pattern)})


def place_of(source: Path) -> str:
    """Returns where in the site the page of a Markdown file stands."""
    parts = source.relative_to(ROOT).parts
    parts = parts[1:] if parts[0] == "docs" else parts
    if parts == ("README.md",):
        return "overview.md"
    name = "index.md" if parts[-1] == "README.md" else parts[-1].lower()
    return "/".join((*parts[:-1], name))


def page_text(source: Path, copied: dict[str, Path]) -> str:
    """Returns a page with links that work in the site.

    Files that it links to and that are no pages are added to ``copied`` by their places.

    Raises:
        BrokenLink: with page and target.
    """

    def link(found: re.Match[str]) -> str:
        words, target = found[2], found[3]
        if target is None or target.startswith("#"):
            return found[0]
        file, mark, heading = target.partition("#")
        path = _linked(source, file)
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in ROOMS:
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            return f"{{py:mod}}`{words.strip('`')} <{module.removesuffix('.__init__')}>`"
        place = place_of(path) if path in pages else f"files/{path.relative_to(ROOT)}"
        if path not in pages:
            copied[place] = path
        return f"[{words}]({relpath(place, here)}{mark}{heading})"

    here, pages = PurePosixPath(place_of(source)).parent, set(sources())
    text = source.read_text(encoding="utf-8")
    return "".join(code + _LINK.sub(link, prose) for code, prose in _parts(text))


def _linked(source: Path, target: str) -> Path:
    path = (source.parent / target).resolve()
    path = path / "README.md" if path.is_dir() else path
    if not path.is_file() or not path.is_relative_to(ROOT):
        raise BrokenLink(f"{source.relative_to(ROOT)} links to {target}: no such file here")
    return path


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """Yields each block of code with the prose after it; the first has no code."""
    start, code = 0, ""
    for block in _FENCE.finditer(text):
        yield code, text[start : block.start()]
        start, code = block.end(), block[0]
    yield code, text[start:]
