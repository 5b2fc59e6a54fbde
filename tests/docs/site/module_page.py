"""A module's part of the reference, from its source; nothing is imported or run.

Public functions, classes and methods that have a docstring are described, and constants that have a
comment ``#:``. Types lead to where they are defined.
"""

import ast
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from textwrap import indent

from sphinx.ext.napoleon import Config, GoogleDocstring

from tests.structure.floors import ROOMS

_GOOGLE = Config(napoleon_use_ivar=True, napoleon_use_rtype=False)
#: The longest value of a constant that is shown.
_VALUE = 70

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Qualified(ast.NodeTransformer):
    """Writes names that a module imports or defines with the module they come from."""

    def __init__(self, tree: ast.Module, module: str) -> None:
        """Notes where the names of the module come from."""
        self.places: dict[str, str] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in ROOMS:
                self.places |= {
                    one.asname or one.name: f"{node.module}.{one.name}" for one in node.names
                }
        defined = (node for node in tree.body if isinstance(node, ast.ClassDef))
        self.places |= {node.name: f"{module}.{node.name}" for node in defined}

    def visit_Name(self, node: ast.Name) -> ast.Name:
        """Returns the name with its place."""
        return ast.Name(id=self.places.get(node.id, node.id), ctx=node.ctx)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        """Returns a constant as it is."""
        return node


@dataclass(frozen=True, kw_only=True)
class Module:
    """One module: its dotted name and its source."""

    name: str
    source: str

    @classmethod
    def of(cls, path: Path, root: Path) -> "Module":
        """Returns the module of a file."""
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        return cls(name=name.removesuffix(".__init__"), source=path.read_text(encoding="utf-8"))

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed source."""
        return ast.parse(self.source)

    @cached_property
    def _lines(self) -> list[str]:
        return self.source.splitlines()

    @cached_property
    def _qualified(self) -> Qualified:
        return Qualified(self.tree, self.name)

    @property
    def first_line(self) -> str:
        """The first sentence of the docstring, on one line."""
        return " ".join((ast.get_docstring(self.tree) or "").split("\n\n")[0].split())

    def page(self, *, members: bool = True) -> str:
        """Returns the module as reStructuredText."""
        head = f".. py:module:: {self.name}\n\n{_docstring(self.tree)}\n\n"
        return head + "".join(self._described(self.tree.body, "")) if members else head

    def _described(self, nodes: list[ast.stmt], owner: str) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, Function | ast.ClassDef):
                if not node.name.startswith("_") and ast.get_docstring(node):
                    yield (
                        self._class(node)
                        if isinstance(node, ast.ClassDef)
                        else self._function(node, owner)
                    )
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                yield self._constant(node, owner)

    def _function(self, node: Function, owner: str) -> str:
        marks = {ast.unparse(one) for one in node.decorator_list}
        if "overload" in marks:
            return ""
        returned = self._text(node.returns) if node.returns else ""
        if owner and any(
            one.rsplit(".", 1)[-1] in {"property", "cached_property"} for one in marks
        ):
            return _entry("property", node.name, _docstring(node), {"type": returned})
        given = _without_first(node.args) if owner and "staticmethod" not in marks else node.args
        options = dict.fromkeys({"classmethod", "staticmethod", "abstractmethod"} & marks, "")
        if isinstance(node, ast.AsyncFunctionDef):
            options["async"] = ""
        shown = f"{node.name}({self._text(given)})" + (f" -> {returned}" if returned else "")
        return _entry("method" if owner else "function", shown, _docstring(node), options)

    def _class(self, node: ast.ClassDef) -> str:
        named = [self._text(base) for base in node.bases if isinstance(base, ast.Name)]
        bases = f"Bases: {', '.join(f':py:class:`~{one}`' for one in named)}\n\n" if named else ""
        inner, built_of = "".join(self._described(node.body, node.name)), self._built_of(node)
        return _entry("class", node.name + built_of, bases + _docstring(node) + "\n\n" + inner)

    def _built_of(self, node: ast.ClassDef) -> str:
        """Returns what a class is built of: the arguments of ``__init__``, or its fields."""
        for one in node.body:
            if isinstance(one, ast.FunctionDef) and one.name == "__init__":
                return f"({self._text(_without_first(one.args))})"
        if not any("dataclass" in ast.unparse(one) for one in node.decorator_list):
            return ""
        fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
        named = [(ast.unparse(one.target), one) for one in fields]
        shown = [
            f"{name}: {self._text(one.annotation)}{' = ...' if one.value else ''}"
            for name, one in named
            if not name.startswith("_")
        ]
        return f"(*, {', '.join(shown)})" if shown else "()"

    def _constant(self, node: ast.Assign | ast.AnnAssign, owner: str) -> str:
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        comment = self._comment(node.lineno)
        if comment and isinstance(target, ast.Tuple):
            return "".join(_entry("data", ast.unparse(one), comment) for one in target.elts)
        if not comment or not isinstance(target, ast.Name) or target.id.startswith("_"):
            return ""
        value = ast.unparse(node.value) if node.value else ""
        options = {"value": value} if value and len(value) <= _VALUE and "\n" not in value else {}
        if isinstance(node, ast.AnnAssign):
            options["type"] = self._text(node.annotation)
        return _entry("attribute" if owner else "data", target.id, comment, options)

    def _comment(self, line: int) -> str:
        """Returns the comment ``#:`` above a line or at its end."""
        above = line - 1
        while above and self._lines[above - 1].strip().startswith("#:"):
            above -= 1
        found = [one.strip().removeprefix("#:").strip() for one in self._lines[above : line - 1]]
        beside = self._lines[line - 1].partition("  #: ")[2]
        return "\n".join(found) or beside

    def _text(self, node: ast.AST) -> str:
        """Returns code with the places of its names; a type in quotes without them."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return node.value
        return ast.unparse(self._qualified.visit(deepcopy(node)))


def _without_first(given: ast.arguments) -> ast.arguments:
    """Returns the arguments of a method without ``self`` or ``cls``."""
    kept = dict(ast.iter_fields(given))
    name = "posonlyargs" if given.posonlyargs else "args"
    return ast.arguments(**kept | {name: kept[name][1:]})


def _docstring(node: ast.Module | ast.ClassDef | Function) -> str:
    return str(GoogleDocstring(ast.get_docstring(node) or "", _GOOGLE))


def _entry(kind: str, shown: str, text: str, options: dict[str, str] | None = None) -> str:
    given = "".join(
        f"   :{name}: {value}".rstrip() + "\n" for name, value in (options or {}).items()
    )
    return f".. py:{kind}:: {shown}\n{given}\n{indent(text, '   ')}\n\n"
