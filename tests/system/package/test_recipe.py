"""The recipe of examples/recipe: built and installed by pip, trained with, and refused if changed.

pip builds the wheel once; the federation is in memory, and its hospitals train by the recipe.
"""

import io
import os
import runpy
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from collegium.studies.preflight import describe_study
from compliance.reports.renderers import render_html
from coordinator.views.views import open_views
from pipelines.evaluation.metrics import auroc
from pipelines.networks.networks import build
from pipelines.recipes.admission import admit_beside
from pipelines.recipes.loading import forget
from protocol.errors import PolicyRefused, StudyRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study, read_study_file
from silos.training.trainer import Trainer
from tests import ROOT
from tests.support.hospital.recipes import imported
from tests.support.machine.patience import PATIENCE
from tests.support.simulated.federation import Federation
from tests.support.simulated.reports import privacy_report

EXAMPLE = ROOT / "examples" / "recipe"


@dataclass(frozen=True)
class Built:
    """The example's wheel, the folder it is installed in, and its study with its records."""

    wheel: Path
    site: Path
    data: Path

    @property
    def study(self) -> Study:
        return read_study_file(self.data / "study.yaml")


def _pip(*words: object) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    same = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}  # one wheel, one digest
    subprocess.run([*command, *map(str, words)], check=True, timeout=PATIENCE, env=same)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("recipe")
    shutil.copytree(EXAMPLE, folder / "source")
    _pip("wheel", "--no-deps", "--no-build-isolation", "-w", folder, folder / "source")
    (wheel,) = folder.glob("*.whl")
    _pip("install", "--no-deps", "--no-index", "--target", folder / "site-packages", wheel)
    data = folder / "data"
    data.mkdir()
    prepare = runpy.run_path(str(EXAMPLE / "prepare.py"))
    prepare["write_records"](data)
    prepare["write_study"](wheel, data)
    return Built(wheel, folder / "site-packages", data)


@pytest.fixture
def installed(built: Built, monkeypatch: pytest.MonkeyPatch) -> Iterator[Built]:
    monkeypatch.syspath_prepend(built.site)
    yield built
    forget("acme-recipes")


@pytest.mark.long
def test_a_federation_trains_a_recipes_network_by_its_loss_and_learns(
    installed: Built, tmp_path: Path
) -> None:
    study = installed.study
    admit_beside(study, installed.data)
    assert study.recipes[0].required.of_wheel
    training = study.training.model_copy(update={"rounds": 3, "local_steps": 8})
    short = study.without_noise().replaced(training=training)

    def write(folder: Path, _study: Study) -> None:
        for site in study.site_names:
            shutil.copy(installed.data / f"{site}.npz", folder)

    federation = Federation(tmp_path, short, trainer=Trainer, write=write, fixed_noise=1)
    outcome = federation.run()
    parts: list[Any] = [silo.simulated_part("run-1") for silo in federation.silos.values()]
    scores, labels = zip(*(part.patient_scores(outcome.model) for part in parts), strict=True)
    federation.close()
    assert auroc(np.concatenate(scores), np.concatenate(labels)) > 0.6
    with closing(open_views(tmp_path / "out")) as views:
        said = views.dossier("run-1")
    assert said.study["recipes"][0]["sha256"] == study.recipes[0].sha256
    assert study.recipes[0].sha256 in render_html(privacy_report(said))


def test_the_check_of_the_study_names_the_recipe_and_whether_its_wheel_was_seen(
    installed: Built,
) -> None:
    study, alone = installed.study, installed.study
    admit_beside(study, installed.data)
    said, found = described(study)
    assert "takes code from acme-recipes 1.2.0 (wheel of SHA-256 " in said
    assert study.recipes[0].sha256 in said and "unchecked" not in said
    assert found["is_compared_with_its_wheel"] and found["fault"] is None
    admit_beside(alone, installed.site)
    said, found = described(alone)
    assert "its wheel's digest is unchecked" in said
    assert not found["is_compared_with_its_wheel"]
    assert not imported()


def described(study: Study) -> tuple[str, dict[str, Any]]:
    screen = Console(file=io.StringIO(), width=200)
    (found,) = describe_study(study, screen)["recipes"]
    return screen.file.getvalue(), found  # type: ignore[attr-defined]


def test_a_changed_file_another_version_and_another_digest_are_refused(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site-packages"
    shutil.copytree(built.site, site)
    monkeypatch.syspath_prepend(site)
    study = built.study
    admit_beside(study, built.data)
    with (site / "acme_recipes" / "__init__.py").open("a") as source:
        source.write("\n")
    with pytest.raises(PolicyRefused, match=r"acme_recipes/__init__\.py was changed"):
        build(study.task, study.cohort, study.seeds.model)
    text = (built.data / "study.yaml").read_text()
    newer = read_study(text.replace("version: 1.2.0", "version: 1.2.1"))
    with pytest.raises(PolicyRefused, match="says that it is|not as in|nothing else"):
        admit_beside(newer, built.data)
    other = read_study(text.replace(study.recipes[0].sha256, "ab" * 32))
    admit_beside(other, tmp_path)
    assert not other.recipes[0].required.of_wheel
    unnamed = text.replace("distribution: acme-recipes", "distribution: others")
    with pytest.raises(StudyRefused, match="of a package that the study does not name"):
        read_study(unnamed)
    assert not imported()


SCRIPT = """
import sys
from pathlib import Path
from protocol.study.study_file import read_study_file
from pipelines.recipes.admission import admit_beside
from silos.isolation.remote_trainer import TrainingMachine, TrainingProcess
data, home = Path(sys.argv[1]), Path(sys.argv[2])
study = read_study_file(data / "study.yaml")
admit_beside(study, data)
process = TrainingProcess(TrainingMachine(home=home))
print(process.ask("size", study), process.ask("try_step", study, "east")[0])
process.close()
print(any(name.startswith("acme_recipes") for name in sys.modules))
"""


@pytest.mark.long
def test_the_process_that_trains_reads_a_recipe_beside_our_own_software(
    built: Built, tmp_path: Path
) -> None:
    """An environment of its own, whose packages are those of the tests' and the recipe."""
    venv.create(tmp_path / "venv", symlinks=True)
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    theirs = next(entry for entry in sys.path if entry.endswith("site-packages"))
    (packages / "theirs.pth").write_text(theirs)
    with zipfile.ZipFile(built.wheel) as archive:
        archive.extractall(packages)
    (tmp_path / "home").mkdir()
    done = subprocess.run(
        [tmp_path / "venv/bin/python", "-c", SCRIPT, built.data, tmp_path / "home"],
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["673", "layers", "False"]
