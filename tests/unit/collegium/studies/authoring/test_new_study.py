"""``study new --bundle`` says what it takes, in words and as JSON; the check takes the study."""

import json
from pathlib import Path

import pytest

from collegium.output.console import console
from collegium.studies.authoring.new_study import NewStudyOptions, write_new_study
from protocol.errors import StudyRefused
from tests.support.bundles import CLASSIFIER, images, make_bundle, monai_network, weights_of
from tests.support.machine.commands import ask


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    weights = weights_of(monai_network(CLASSIFIER | {"classes": 2}))
    return make_bundle(tmp_path / "xray", images(), weights=weights)


def test_the_command_tells_what_it_takes_and_the_check_takes_the_study(
    bundle: Path, tmp_path: Path
) -> None:
    to = tmp_path / "study.yaml"
    words = ("--bundle", bundle, "--to", to, "--sites", "a,b,c,d", "--epsilon", "2", "--json")
    made = ask("study", "new", *words)
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    assert told["study"] == str(to) and told["weights"] == str(tmp_path / "xray.safetensors")
    assert told["network"]["_target_"] == "Classifier" and told["left_out"] == []
    assert told["image"]["shape"] == [16, 16] and told["name"] == "xray"
    for line in (
        f"made   {to}: a study from the MONAI bundle {bundle}",
        "  note: LoadImaged: the source reads the hospital's files",
        "  note: image.range: [-1024, 3071], Hounsfield units",
        f"fill it in, then collegium study check {to}",
    ):
        assert line in made.stderr
    checked = ask("study", "check", to)
    assert checked.returncode == 0, checked.stderr
    assert "MONAI bundle xray 0.2.0" in checked.stdout and told["digest"] in checked.stdout
    again = ask("study", "new", *words)
    assert again.returncode == 2 and "is there already" in again.stderr


def test_nothing_is_written_where_something_is_refused(bundle: Path, tmp_path: Path) -> None:
    to = tmp_path / "study.yaml"
    refused = ask(
        "study", "new", "--bundle", bundle, "--to", to, "--template", "binary_classification"
    )
    assert refused.returncode == 2 and not to.exists()
    assert "'final.1.weight' has shape (2, 128), the network's has (1, 128)" in refused.stderr
    assert not list(tmp_path.glob("*.safetensors"))
    made = ask(
        "study", "new", "--bundle", bundle, "--to", to, "--template", "binary_classification",
        "--without", "final.1", "--shape", "16,16",
    )  # fmt: skip
    assert made.returncode == 0 and "start from the seed: final.1.bias, final.1.wei" in made.stderr


def test_what_goes_with_a_bundle_is_refused_without_one(tmp_path: Path) -> None:
    to = tmp_path / "study.yaml"

    def asked(bundle: Path | None, *, without: str | None = None, shape: str | None = None) -> None:
        options = NewStudyOptions(
            template=None, bundle=bundle, without=without, with_weights=True, shape=shape
        )
        write_new_study(to, options, {}, console())

    with pytest.raises(StudyRefused, match="--without, --no-weights and --shape go with --bundle"):
        asked(None, without="head")
    for shape in ("96", "0,1", "a,b", "1,2,3,4", "5000,5000"):
        with pytest.raises(StudyRefused, match=f"--shape {shape}: two or three sides from 1 to"):
            asked(tmp_path, shape=shape)
    assert not to.exists()
