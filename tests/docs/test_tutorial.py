"""The tutorial notebook and the Python page run as they stand, on the bundled records."""

import ast
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

import collegium as cg
from pipelines.networks.networks import parameters_of
from protocol.vectors.tensors import model_digest
from tests.structure.floors import ROOT

NOTEBOOK = ROOT / "examples" / "notebook" / "tutorial.ipynb"
PAGE, README = ROOT / "docs" / "python.md", ROOT / "README.md"

pytestmark = [
    # Ray's own start-up leaves sockets and files to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def shown(source: str, names: dict[str, Any]) -> Any:
    """Runs a cell as a notebook does; returns what stands in its last line."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "cell", "exec"), names)  # noqa: S102
    if last is None:
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # noqa: S307


def already_trained(block: str) -> str:
    """Returns an example in which what the notebook has trained is not trained again.

    Its arguments are held to the function's, all else runs as it stands.
    """
    tree = ast.parse(block)
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("cg.simulate("):
            call = node.value
            assert isinstance(call, ast.Call)
            named = {str(keyword.arg): keyword.value for keyword in call.keywords}
            inspect.signature(cg.simulate).bind(*call.args, **named)
            node.value = ast.Name("trained", ast.Load())
    return ast.unparse(ast.fix_missing_locations(tree))


def drawn(value: Any) -> str:
    """What a notebook draws of a value: HTML or SVG where it has them, else its text."""
    for name in ("_repr_html_", "_repr_svg_"):
        if hasattr(value, name):
            return str(getattr(value, name)())
    return repr(value)


def cells() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return found


def test_the_notebook_is_kept_without_outputs() -> None:
    code = [cell for cell in cells() if cell["cell_type"] == "code"]
    assert len(code) > 10
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_the_notebook_and_the_page_run_as_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # On one core one process holds all hospitals; each more imports torch and Opacus anew.
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: {0})
    names: dict[str, Any] = {"__name__": "__main__"}
    sources = ["".join(cell["source"]) for cell in cells() if cell["cell_type"] == "code"]
    results = [shown(source, names) for source in sources]
    drawings = [drawn(result) for result in results if result is not None]
    assert len(drawings) == len(sources)
    run, swept = names["run"], names["swept"]
    assert run.state == "finished" and len(swept.run_ids) == 2
    assert run.summary()["auroc"] > 0.7  # the four hospitals' patients can be told apart
    assert run.privacy()["epsilon"].max() <= 2
    assert (tmp_path / "tutorial-report.html").is_file()
    assert model_digest(parameters_of(names["model"])) == run.model.stem
    assert not names["model"].training
    assert oct((tmp_path / "tutorial-out").stat().st_mode)[-3:] == "700"

    for name in ("heart-out", "python-out"):
        (tmp_path / name).symlink_to("tutorial-out")
    monkeypatch.setitem(names, "trained", run)
    for page in (README, PAGE):
        for block in re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            shown(already_trained(block), names)
    output = capsys.readouterr()
    assert output.out.startswith("no-such.yaml: cannot be read")
    assert "round" not in output.out + output.err  # nobody watches: nothing is said
