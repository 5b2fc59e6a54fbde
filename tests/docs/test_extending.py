"""The changes of docs/extending.md, made to a copy of the rooms and then used."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipelines.networks.networks import build, parameters_of
from pipelines.recipes.admission import admit
from pipelines.recipes.loading import forget
from silos.training.trainer import Trainer
from tests import ROOT
from tests.structure.floors import ROOMS
from tests.support.hospital.recipes import install, make_wheel, package_of, study_with
from tests.support.simulated.federation import Federation

PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")

#: What a section's changes make possible, by its heading.
USED = {
    "Add a network": """
from pipelines.gradients.opacus_check import refuse_unfit
from silos.training.randomness import RoundInput, SecretEntropy
from silos.training.trainer import Trainer
from tests.bench import studies
study = studies.imaging(
    micro_batch=4, side=16, network="{_target_: DenseNet, block_config: [1, 1]}", patients=8
)
records = studies.drawn_records(study, 8)
trainer = Trainer(study, "east", records, records)
assert trainer.engine == "layers", trainer.engine
trainer.second_opinion(None, 0.0)
given = RoundInput(model=trainer.initial_model(), number=0, noise_multiplier=1.0)
assert (trainer.update(given, SecretEntropy()).update != 0).all()
""",
    "Add a strategy": """
import tempfile
from pathlib import Path
from protocol.study.study_file import read_study
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import changed
how = "rounds: 2, strategy: elastic, share: 0.25"
study = read_study(changed("rounds: 2", how))
assert study.training.model_dump()["share"] == 0.25
with tempfile.TemporaryDirectory() as folder:
    federation = Federation(Path(folder), study)
    assert federation.run().model and len(federation.watch.rounds) == 3
    federation.close()
try:
    read_study(changed("rounds: 2", "rounds: 2, share: 0.5"))
    raise SystemExit("fedavg has no share")
except Exception as error:
    assert "training.share: this key does not belong here" in str(error), error
from tests.structure.test_rooms import children, independent, name_of, packages
(package,) = [one for one in packages() if name_of(one).endswith(".personal")]
assert "elastic.py" in children(package) and name_of(package) in independent()
""",
    "Add a column to the run report": """
from compliance.reports.document import tables
from tests.support.simulated.reports import privacy_report
from compliance.reports.renderers import render_html
from tests.support.simulated import dossiers
report = privacy_report(dossiers.finished())
(table,) = [one for _, one in tables(report) if one.title == "Mechanism at each hospital"]
place = [column.title for column in table.columns].index("Entries of the log known")
assert [row[place] for row in table.rows] == [7] * len(table.rows)
assert "Entries of the log known" in render_html(report)
""",
}


def changes(section: str) -> dict[str, list[tuple[str, str]]]:
    """What a section of the page replaces by what, by file; nothing is replaced in a new one."""
    found: dict[str, list[tuple[str, str]]] = {}
    for block in re.findall(r"```diff\n--- (.*?)```", section, re.DOTALL):
        path, _, hunks = block.partition("\n")
        for hunk in hunks.split("@@\n"):
            lines = hunk.splitlines(keepends=True)
            old = "".join(line[1:] for line in lines if line[0] in " -")
            new = "".join(line[1:] for line in lines if line[0] in " +")
            found.setdefault(path, []).append((old, new))
    return found


def section(heading: str) -> str:
    return PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize("heading", USED)
def test_an_extension_changes_two_files_at_most(heading: str) -> None:
    assert 1 <= len(changes(section(heading))) <= 2


@pytest.mark.long
def test_what_the_page_says_works(tmp_path: Path) -> None:
    for room in (*ROOMS, "tests"):
        ignored = shutil.ignore_patterns("vectors") if room == "tests" else None
        shutil.copytree(ROOT / room, tmp_path / room, ignore=ignored)  # with what is compiled
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for heading in USED:
        for path, hunks in changes(section(heading)).items():
            file = tmp_path / path
            text = file.read_text(encoding="utf-8") if hunks[0][0] else ""
            assert bool(hunks[0][0]) == file.exists(), path
            for old, new in hunks:
                assert not old or text.count(old) == 1, f"{path} has no such lines: {old}"
                text = text.replace(old, new) if old else new
            file.write_text(text, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    program = f"import pipelines\nassert {str(tmp_path)!r} in pipelines.__file__\n"
    done = subprocess.run(
        [sys.executable, "-c", program + "\n".join(USED.values())],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_recipe_of_the_page_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (text,) = re.findall(r"```python\n(.*?)```", section("Write a recipe"), re.DOTALL)
    (said,) = re.findall(r"```yaml\n(.*?)```", section("Write a recipe"), re.DOTALL)
    (entry,) = re.findall(r"```toml\n(.*?)```", section("Write a recipe"), re.DOTALL)
    assert tomllib.loads(entry)["project"]["entry-points"]["collegium.recipes"] == {
        "recipe": "acme_recipes:RECIPE"
    }
    wheel = make_wheel(tmp_path, text)
    site = tmp_path / "site-packages"
    install(wheel, site)
    monkeypatch.syspath_prepend(site)
    written = YAML(typ="safe", pure=True).load(said)
    study = study_with(package_of(wheel), **written["task"])
    assert written["recipes"][0].keys() == study.recipes[0].model_dump().keys()
    admit(study.recipes[0], wheel)
    try:
        federation = Federation(tmp_path, study, trainer=Trainer)
        outcome = federation.run()
        federation.close()
        initial = parameters_of(build(study.task, study.cohort, study.seeds.model))
        assert all((outcome.model[name] != initial[name]).any() for name in initial)
    finally:
        forget("acme-recipes")
