"""``import collegium``: cheap, complete, and documented."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import collegium as cg
from protocol.errors import FederationError
from tests.structure.floors import ROOT

#: Only what these are for makes them worth their seconds.
HEAVY = {"altair", "monai", "numpy", "opacus", "pandas", "ray", "rich", "sqlalchemy", "torch"}


def imported(program: str) -> set[str]:
    """The packages that a fresh process holds after a program."""
    lines = f"import sys\n{program}\nprint(*sorted({{n.split('.')[0] for n in sys.modules}}))"
    environment = {name: value for name, value in os.environ.items() if "RAY" not in name}
    done = subprocess.run(
        [sys.executable, "-c", lines], capture_output=True, text=True, check=True,
        cwd=ROOT, env=environment,
    )  # fmt: skip
    return set(done.stdout.split())


def test_the_import_loads_nothing_heavy_and_sets_rays_settings_first() -> None:
    program = "import os, collegium\nassert os.environ['RAY_USAGE_STATS_ENABLED'] == '0'"
    assert not imported(program) & HEAVY


def test_reading_folders_and_varying_studies_loads_neither_torch_nor_ray(genuine: Path) -> None:
    program = (
        f"import collegium as cg\ncg.open({str(genuine)!r}).runs()\n"
        "cg.Study.bundled().with_epsilon(0.5).check()"
    )
    assert not imported(program) & {"torch", "ray", "monai", "opacus"}


def test_what_is_not_installed_is_named_with_what_installs_it() -> None:
    program = (
        "sys.modules['pandas'] = None\nimport collegium as cg\n"
        "said = 'collegium.open needs pandas, not installed here: pip install pandas, or'\n"
        "try: cg.open\nexcept cg.errors.WorkspaceRefused as e: assert said in str(e), e\n"
        "else: raise SystemExit('not refused')"
    )
    assert "protocol" in imported(program)


def test_a_ray_that_was_imported_before_is_refused_in_words() -> None:
    program = (
        "from types import ModuleType\nsys.modules['ray'] = ModuleType('ray')\n"
        "import collegium as cg\n"
        "try: cg.simulate\n"
        "except cg.errors.WorkspaceRefused as e: assert 'restart a notebook' in str(e), e\n"
        "else: raise SystemExit('not refused')"
    )
    assert "protocol" in imported(program)


def test_every_public_name_is_there_and_nothing_else_is_promised() -> None:
    assert set(cg.__all__) <= set(dir(cg))
    for name in cg.__all__:
        assert getattr(cg, name) is not None
    assert cg.errors.FederationError is FederationError
    with pytest.raises(AttributeError, match="no attribute 'simulation_of'"):
        _ = cg.simulation_of


def public_functions() -> list[tuple[str, object]]:
    """Every public function, and every public method and property of the public classes."""
    found: list[tuple[str, object]] = []
    for name in cg.__all__:
        value = getattr(cg, name)
        if inspect.isfunction(value):
            found.append((name, value))
        if inspect.isclass(value):
            found += [
                (f"{name}.{key}", getattr(member, "__func__", member))
                for key, member in vars(value).items()
                if not key.startswith("_") and (callable(member) or hasattr(member, "__func__"))
            ]
    return found


@pytest.mark.parametrize(("name", "function"), public_functions())
def test_a_public_function_says_what_it_takes_and_shows_an_example(
    name: str, function: object
) -> None:
    text = inspect.getdoc(function) or ""
    assert re.match(r"[A-Z].+\.", text), name
    assert "Example::" in text or ">>> " in text, name
    parameters = [p for p in inspect.signature(function).parameters if p not in ("self", "cls")]  # type: ignore[arg-type]
    if len(parameters) > 1:
        said = text.partition("Args:")[2].partition("\n\n")[0]
        for parameter in parameters:
            assert re.search(rf"\b{parameter}\b", said), f"{name} does not say what {parameter} is"


def test_every_public_class_says_what_its_fields_are_and_shows_an_example() -> None:
    classes = [value for name in cg.__all__ if inspect.isclass(value := getattr(cg, name))]
    assert len(classes) == 10
    for value in classes:
        text = inspect.getdoc(value) or ""
        assert "Attributes:" in text and "Example::" in text, value
