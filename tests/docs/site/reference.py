"""The reference: a page for every room and sub-room, made of its docstrings."""

from pathlib import Path

from tests.docs.site.module_page import Module
from tests.structure.floors import ROOMS, ROOT


def packages() -> list[Path]:
    """Returns the folders of rooms and sub-rooms, migrations of databases left out."""
    found = [path.parent for room in ROOMS for path in (ROOT / room).rglob("__init__.py")]
    return sorted(path for path in found if "migrations" not in path.parts)


def modules(package: Path) -> list[Module]:
    """Returns a package's own modules."""
    paths = sorted(path for path in package.glob("*.py") if path.stem != "__init__")
    return [Module.of(path, ROOT) for path in paths]


def reference() -> dict[str, str]:
    """Returns the pages of the reference by their places in the site."""
    first = (
        _title("Reference")
        + "Every module, from its docstrings. What begins with an underscore is left out.\n\n"
        + _table([(f":doc:`{room} <{room}>`", _own(ROOT / room).first_line) for room in ROOMS])
        + _toctree(list(ROOMS))
    )
    pages = {f"reference/{_name(package)}.rst": _page(package) for package in packages()}
    return {"reference/index.rst": first} | pages


def _page(package: Path) -> str:
    name = _name(package)
    inner = [one for one in packages() if one.parent == package]
    rows = [(f":doc:`{one.name} <{_name(one)}>`", _own(one).first_line) for one in inner]
    rows += [(f":py:mod:`~{one.name}`", one.first_line) for one in modules(package)]
    parts = [_title(name), _own(package).page(members=False), _table(rows)]
    parts += [_toctree([_name(one) for one in inner])] if inner else []
    for module in modules(package):
        parts += [_title(module.name.rsplit(".", 1)[1], "-"), module.page()]
    return "".join(parts)


def _own(package: Path) -> Module:
    return Module.of(package / "__init__.py", ROOT)


def _name(package: Path) -> str:
    return ".".join(package.relative_to(ROOT).parts)


def _title(text: str, line: str = "=") -> str:
    return f"{text}\n{line * len(text)}\n\n"


def _table(rows: list[tuple[str, str]]) -> str:
    cells = "".join(f"   * - {left}\n     - {right}\n" for left, right in rows)
    return f".. list-table::\n   :widths: 25 75\n\n{cells}\n"


def _toctree(places: list[str]) -> str:
    return ".. toctree::\n   :hidden:\n\n" + "".join(f"   {place}\n" for place in places) + "\n"
