"""Recipes for tests: wheels made of a text, installed as pip does, and a study that uses them."""

import hashlib
import importlib
import json
import sys
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protocol.encoding import digest
from protocol.study.study import Study
from protocol.study.task.recipes import RecipePackage
from tests.support.simulated.studies import small_study

NAME, VERSION = "acme-recipes", "1.2.0"
ENTRY = "[collegium.recipes]\nrecipe = acme_recipes:RECIPE\n"

#: A network, a loss and a transform that keep every rule; BODY changes what a test is about.
SOURCE = """
import torch
from torch import nn
from torch.nn import functional
from monai.transforms.transform import MapTransform, RandomizableTransform
from pydantic import Field
from pipelines.recipes.recipe import *

class Width(RecipeSettings):
    width: int = Field(default=3, ge=1, le=9)

class Net(nn.Module):
    def __init__(self, inputs, width, outputs):
        super().__init__()
        self.first, self.last = nn.Linear(inputs, width), nn.Linear(width, outputs)
    def forward(self, rows):
        return self.last(torch.tanh(self.first(rows.flatten(1))))

class Power(RecipeSettings):
    gamma: float = Field(default=1.0, ge=0, le=5)

def focal(settings):
    def loss(outputs, label):
        logit = torch.where(label > 0, outputs[0], -outputs[0])
        return torch.sigmoid(-logit) ** settings.gamma * functional.softplus(-logit)
    return loss

class Chance(RecipeSettings):
    prob: float = Field(gt=0, le=1)

class Invert(RandomizableTransform, MapTransform):
    def __init__(self, keys, prob):
        MapTransform.__init__(self, keys)
        RandomizableTransform.__init__(self, prob)
    def __call__(self, data):
        self.randomize(None)
        return {**data, **{k: -data[k] for k in self.keys}} if self._do_transform else data

def net(settings, shape, outputs):
    inputs = 1
    for side in shape:
        inputs *= side
    return Net(inputs, settings.width, outputs)
# BODY
RECIPE = Recipe(
    networks={"TinyNet": NetworkRecipe(settings=Width, build=net)},
    losses={"FocalLoss": LossRecipe(settings=Power, build=focal)},
    transforms={"RandInvertd": TransformRecipe(
        settings=Chance, build=lambda settings, keys: Invert(keys, settings.prob))},
)
"""


def source(body: str = "") -> str:
    """Returns the package's text with definitions that replace those above them."""
    return SOURCE.replace("# BODY", body)


def make_wheel(
    folder: Path,
    text: str = SOURCE,
    *,
    name: str = NAME,
    version: str = VERSION,
    more: Mapping[str, str] | None = None,
    recorded: Mapping[str, str] | None = None,
) -> Path:
    """Writes a wheel; ``more`` are files beside it, ``recorded`` what RECORD says instead."""
    top = name.replace("-", "_")
    metadata = f"{top}-{version}.dist-info"
    files = {
        f"{top}/__init__.py": text,
        f"{metadata}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{metadata}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{metadata}/entry_points.txt": ENTRY,
    } | dict(more or {})
    lines = [f"{path},{_hash(inside)},{len(inside)}" for path, inside in files.items()]
    for path, said in (recorded or {}).items():
        lines = [f"{path},{said}," if line.startswith(f"{path},") else line for line in lines]
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{top}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, inside in files.items():
            archive.writestr(path, inside)
        archive.writestr(f"{metadata}/RECORD", "\n".join([*lines, f"{metadata}/RECORD,,"]))
    return wheel


def install(wheel: Path, site: Path) -> Path:
    """Unpacks a wheel into a folder of packages, as pip does; returns the package's folder."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    (metadata,) = site.glob("acme_recipes*.dist-info")
    (metadata / "INSTALLER").write_text("pip\n")
    with (metadata / "RECORD").open("a") as record:
        record.write(f"\n{metadata.name}/INSTALLER,{_hash('pip' + chr(10))},4\n")
    importlib.invalidate_caches()
    return site / "acme_recipes"


def package_of(wheel: Path, version: str = VERSION) -> RecipePackage:
    """Returns a wheel as a study names it."""
    return RecipePackage(distribution=NAME, version=version, sha256=digest(wheel.read_bytes()))


def study_with(package: RecipePackage, study: Study | None = None, **task: Any) -> Study:
    """Returns a study (the small one) whose network and loss are a recipe's."""
    whole = json.loads((study or small_study()).canonical_bytes)
    whole["recipes"] = [package.model_dump()]
    whole["task"] |= {
        "network": {"_target_": f"{NAME}:TinyNet", "width": 3},
        "loss": {"_target_": f"{NAME}:FocalLoss", "gamma": 1.0},
    } | task
    return Study.model_validate({**whole, "task": {k: v for k, v in whole["task"].items() if v}})


def imported() -> bool:
    """Whether this process has imported the package."""
    return any(name.partition(".")[0] == "acme_recipes" for name in sys.modules)


def _hash(inside: str) -> str:
    found = hashlib.sha256(inside.encode()).digest()
    return f"sha256={urlsafe_b64encode(found).rstrip(b'=').decode()}"
