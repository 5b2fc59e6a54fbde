"""A kit outside of the checkout, with the installed wheel alone: checked, changed, checked."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.machine.installed_wheel import Environment, build_wheel, install

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Environment, Path]:
    """An environment with what a hospital installs, and the wheel in it."""
    wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
    return install(wheel, tmp_path_factory.mktemp("stranger"), "silo"), wheel


@pytest.fixture(scope="module")
def kit(installed: tuple[Environment, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    environment, wheel = installed
    to = tmp_path_factory.mktemp("kits") / "kit"
    done = environment.collegium("kit", "make", "--to", to, "--wheel", wheel)
    assert done.returncode == 0, done.stderr
    assert (to / wheel.name).is_file() and (to / "requirements.txt").is_file()
    return to


def _checked(environment: Environment, kit: Path, code: int) -> dict[str, Any]:
    done = environment.python(kit / "check.py", "--json")
    assert done.returncode == code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_stranger_gets_the_same_bit_by_bit(
    installed: tuple[Environment, Path], kit: Path
) -> None:
    found = _checked(installed[0], kit, 0)
    assert found["answer"] == "identical" and found["differences"] == []
    assert found["model_digest"] == found["model_digest_again"]


def test_a_changed_record_and_a_changed_seed_are_named(
    installed: tuple[Environment, Path], kit: Path
) -> None:
    records = kit / "records" / "processed.va.data"
    whole = records.read_text(encoding="utf-8")
    records.write_text(whole.replace("63,1,4,140,260", "63,1,4,150,260", 1), encoding="utf-8")
    found = _checked(installed[0], kit, 1)
    assert found["first"] == "training round 1"
    assert found["because"].startswith("the data file processed.va.data is another")
    records.write_text(whole, encoding="utf-8")
    study = kit / "study.yaml"
    study.write_text(f"{study.read_text(encoding='utf-8')}\nseeds: {{model: 9}}\n")
    found = _checked(installed[0], kit, 1)
    assert found["because"].startswith("the study says seeds.model 9, it was ")
