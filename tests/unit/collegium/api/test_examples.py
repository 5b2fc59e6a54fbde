"""Every example in a docstring of the interface runs as it stands, on a folder of runs."""

import ast
import inspect
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import collegium as cg
from tests import ROOT
from tests.support.simulated.baselines import few_findings
from tests.support.simulated.strategies import compared_strategies


def examples() -> Iterator[tuple[str, str]]:
    """Yields every example, by the name of what it belongs to."""
    for name in cg.__all__:
        value = getattr(cg, name)
        members = {name: value}
        if inspect.isclass(value):
            members |= {f"{name}.{key}": member for key, member in vars(value).items()}
        for where, member in members.items():
            text = inspect.getdoc(getattr(member, "__func__", member)) or ""
            _, found, block = text.partition("Example::\n\n")
            if found and not where.rpartition(".")[2].startswith("_"):
                lines = block.split("\n\n")[0] if "\n\n    " not in block else block
                yield where, textwrap.dedent(lines)


@pytest.fixture
def at_work(genuine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The names that examples use, in a folder that has ``demo-out``."""
    shutil.copytree(genuine, tmp_path / "demo-out")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    shutil.copy(tmp_path / "demo-out" / "coordinator.pub", tmp_path)
    for name in ("study.yaml", "split.csv"):
        shutil.copy(ROOT / "examples" / "heart-disease" / name, tmp_path)
    (tmp_path / "records").symlink_to(ROOT / "collegium" / "studies" / "heart_disease")
    folder = cg.open("demo-out")
    runs = tuple(folder.runs().index)
    return {
        "cg": cg, "folder": folder, "run": folder.run(), "study": cg.Study.bundled("breast-cancer"),
        "swept": cg.Sweep(out=folder.out, run_ids=runs), "compared": cg.Baselines(few_findings()),
        "strategies": cg.Comparison(compared_strategies((0.01, 0.05))),
    }  # fmt: skip


def test_examples_are_found() -> None:
    found = dict(examples())
    assert len(found) > 30 and all(ast.parse(block).body for block in found.values())


@pytest.mark.parametrize(("where", "block"), [*examples()], ids=[name for name, _ in examples()])
def test_an_example_runs_as_it_stands(where: str, block: str, at_work: dict[str, object]) -> None:
    if where in ("Run.load_model", "Study.load_model"):
        pytest.skip("the runs of this folder were trained by hand; test_run.py loads a model")
    trains = False
    for call in (node for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Call)):
        name = getattr(call.func, "attr", getattr(call.func, "id", ""))
        if name in ("baselines", "compare", "simulate", "sweep"):
            trains = True
            function = inspect.signature(getattr(cg, name))
            function.bind(*call.args, **{word.arg: word.value for word in call.keywords})
    if not trains:
        exec(compile(block, where, "exec"), at_work)  # noqa: S102 -- our own docstrings
