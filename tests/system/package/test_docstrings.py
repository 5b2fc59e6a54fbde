"""Public names are described, and examples in documents run or fit what they call."""

import ast
import inspect
import re

import pytest

from coordinator.database.workspace import Workspace
from silos.database.database import open_hospital
from tests.docs.site.module_page import Module
from tests.structure.floors import ROOMS, ROOT

DOCUMENTS = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*/README.md")]
#: Pages whose examples tests run (``test_tutorial.py``, ``test_extending.py``, those of bundles'
#: weights, ``test_alerts_page.py``), and the one that needs a server.
RUN = {"README.md", "docs/python.md", "docs/extending.md", "docs/study.md", "docs/alerts.md"}
SERVER = "docs/databases.md"
#: Its example scores new patients by a model that a hospital kept: ``silos/results`` runs it.
HOSPITAL = "docs/hospital.md"


def trees() -> dict[str, Module]:
    """Every module of the rooms by its dotted name."""
    paths = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    return {module.name: module for module in (Module.of(path, ROOT) for path in paths)}


def listed(tree: ast.Module) -> list[str]:
    """The names in a module's ``__all__``."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def described(module: str, name: str, among: dict[str, Module]) -> bool:
    """Whether a name of a module is described where it is defined; what others made, they do."""
    if f"{module}.{name}" in among:
        return bool(among[f"{module}.{name}"].first_line)
    for node in ast.walk(among[module].tree):
        if isinstance(node, ast.ImportFrom | ast.Import):
            named = {alias.asname or alias.name: alias.name for alias in node.names}
            source = node.module if isinstance(node, ast.ImportFrom) else None
            if name in named:
                return source not in among or described(str(source), named[name], among)
    kinds = "class|function|data"
    return bool(re.search(rf"^.. py:(?:{kinds}):: {name}\b", among[module].page(), re.MULTILINE))


def test_every_listed_name_is_described() -> None:
    among = trees()
    names = [(name, one) for name, module in among.items() for one in listed(module.tree)]
    assert len(names) > 30
    assert not [f"{module}.{one}" for module, one in names if not described(module, one, among)]


def test_a_name_without_a_word_is_found() -> None:
    bare = Module(name="protocol.bare", source='"""Bare."""\n\nA = 1\n#: Has one.\nB = 2\n')
    among = {bare.name: bare}
    assert not described(bare.name, "A", among) and described(bare.name, "B", among)


def test_every_page_with_an_example_in_python_is_tested() -> None:
    shown = {path for path in DOCUMENTS if "```python" in path.read_text(encoding="utf-8")}
    assert {str(path.relative_to(ROOT)) for path in shown} == RUN | {SERVER, HOSPITAL}


def test_the_example_of_a_server_fits_what_it_calls() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / SERVER).read_text(), re.DOTALL)
    calls = [
        node.value for node in ast.parse(inspect.cleandoc(block)).body if isinstance(node, ast.Expr)
    ]
    known = {"open_hospital": open_hospital, "Workspace.create": Workspace.create}
    for call in calls:
        assert isinstance(call, ast.Call)
        given = {str(one.arg): ast.unparse(one.value) for one in call.keywords}
        function = known.pop(ast.unparse(call.func))
        inspect.signature(function).bind(*map(ast.unparse, call.args), **given)
        with pytest.raises(TypeError, match="unexpected keyword"):
            inspect.signature(function).bind(*map(ast.unparse, call.args), **given, other="")
    assert not known
