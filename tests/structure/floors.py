"""``python -m tests.structure.floors``: how many things, floors and arrows each level has.

An arrow leads from a file or folder to another of the same level that it imports.
"""

import ast
from collections import defaultdict

from tests import ROOT

ROOMS = ("protocol", "pipelines", "compliance", "silos", "coordinator", "dashboard", "collegium")

Graph = dict[str, set[str]]


def imports() -> Graph:
    """Returns what each module of the rooms imports of them."""
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
        if "migrations" not in path.parts
    }
    found: Graph = {}
    for name, path in files.items():
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        named = [n for n in nodes if isinstance(n, ast.ImportFrom) and n.module]
        asked = {f"{node.module}.{alias.name}" for node in named for alias in node.names}
        asked |= {str(node.module) for node in named}
        asked |= {a.name for n in nodes if isinstance(n, ast.Import) for a in n.names}
        found[name] = (asked & set(files)) - {name}
    return found


def level(graph: Graph, package: str) -> Graph:
    """Returns which child of a package imports which others."""
    depth = package.count(".") + 2
    below = [name for name in graph if name.startswith(f"{package}.")]
    children: Graph = {".".join(name.split(".")[:depth]): set() for name in below}
    for name in below:
        child = ".".join(name.split(".")[:depth])
        others = {".".join(other.split(".")[:depth]) for other in graph[name]}
        children[child] |= (others & set(children)) - {child}
    return children


def floors(children: Graph) -> int:
    """Returns how many floors the children stand on.

    Raises:
        ValueError: some import each other in a circle.
    """
    left, count = dict(children), 0
    while left:
        lowest = [name for name, others in left.items() if not others & set(left)]
        if not lowest:
            raise ValueError(f"a circle among {sorted(left)}")
        for name in lowest:
            del left[name]
        count += 1
    return count


def main() -> None:
    """Prints a line about every level."""
    graph = imports()
    packages: dict[str, int] = defaultdict(int)
    for name in graph:
        for end in range(1, name.count(".") + 1):
            packages[".".join(name.split(".")[:end])] += 1
    for package in sorted(packages):
        children = level(graph, package)
        arrows = sum(map(len, children.values()))
        print(
            f"{package:30} {len(children):3} things {floors(children):3} floors {arrows:4} arrows"
        )


if __name__ == "__main__":
    main()
