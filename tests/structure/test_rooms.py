"""The floor plan: few things on every level, no circles, and a page that names every sub-room."""

import re
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from tests.structure.floors import ROOMS, ROOT, floors, imports, level

#: What a level may show, as ``docs/architecture.md`` says.
MOST = 10


def packages() -> list[Path]:
    found = [path.parent for room in ROOMS for path in (ROOT / room).rglob("__init__.py")]
    return sorted(path for path in found if "migrations" not in path.parts)


def name_of(package: Path) -> str:
    return ".".join(package.relative_to(ROOT).parts)


def children(package: Path) -> set[str]:
    """The files and folders of a package, apart from its own page and what Python writes."""
    found = {path.name for path in package.iterdir()} - {"py.typed"}
    return {name for name in found if not name.startswith((".", "__"))}


def contracts() -> list[dict[str, object]]:
    """What make check holds all imports to."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found: list[dict[str, object]] = settings["tool"]["importlinter"]["contracts"]
    return found


def layers() -> dict[str, dict[str, object]]:
    """The contracts of layers, by their package."""
    return {one["containers"][0]: one for one in contracts() if "containers" in one}  # type: ignore[index]


def independent() -> set[str]:
    """The packages of which no file imports another: they all stand on one floor."""
    named = [one["modules"] for one in contracts() if one["type"] == "independence"]
    return {name.removesuffix(".*") for names in named for name in names}  # type: ignore[attr-defined]


@pytest.mark.parametrize("package", packages(), ids=name_of)
def test_a_level_shows_at_most_ten_things(package: Path) -> None:
    assert 0 < len(children(package)) <= MOST, sorted(children(package))


@pytest.mark.parametrize("package", packages(), ids=name_of)
def test_a_package_says_what_it_is_for(package: Path) -> None:
    text = (package / "__init__.py").read_text(encoding="utf-8")
    assert re.match(r'"""[A-Z].+[.:]', text), text[:80]


@pytest.mark.parametrize("package", packages(), ids=name_of)
def test_every_file_of_a_package_has_its_floor(package: Path) -> None:
    """The checks then find every import that climbs, and so every circle."""
    plain = {"heart_disease", "library", "migrations", "templates"}  # files of other kinds
    found = {n for n in children(package) if (package / n).is_dir() or n.endswith(".py")}
    modules = {name.removesuffix(".py") for name in found} - plain
    if len(modules) < 2 or name_of(package) in independent():
        return
    contract = layers()[name_of(package)]
    named = [word.strip() for floor in contract["layers"] for word in floor.split("|")]  # type: ignore[attr-defined]
    assert sorted({*named} - {"__main__"}) == sorted(modules)
    assert contract["type"] == "layers" and contract["exhaustive"] is True


def test_a_folder_without_a_page_of_its_own_holds_no_code() -> None:
    """What has no ``__init__.py`` is seen by no contract: data and templates may lie there."""
    for room in ROOMS:
        for folder in (path for path in (ROOT / room).rglob("*") if path.is_dir()):
            if "__pycache__" not in folder.parts and not (folder / "__init__.py").exists():
                assert not [*folder.glob("*.py")], folder


def test_no_level_has_a_circle() -> None:
    graph = imports()
    for package in packages():
        assert floors(level(graph, name_of(package))) >= 1
    with pytest.raises(ValueError, match="a circle among"):
        floors({"a": {"b"}, "b": {"a"}, "c": {"a"}})


def test_the_page_names_every_sub_room() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for room in ROOMS:
        (row,) = re.findall(
            rf"^\| `{room}/` \| (`.*) \|$|^\| `{room}/` \| (one page.*) \|$", page, re.M
        )
        named = set(re.findall(r"`([a-z_]+)`", "".join(row)))
        if named:
            assert named == {name.removesuffix(".py") for name in children(ROOT / room)}


def test_a_public_class_has_its_name_alone() -> None:
    """But for the notebook's ``Study``, which holds the document of that name and adds methods."""
    found: Counter[str] = Counter()
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            found.update(re.findall(r"^class ([A-Za-z]\w*)", path.read_text("utf-8"), re.M))
    assert len(found) > 400
    assert {name for name, times in found.items() if times > 1} == {"Study"}
