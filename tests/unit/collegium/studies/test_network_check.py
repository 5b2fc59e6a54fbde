"""What a study says of its network is tried before anything starts, and refused with its line."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from safetensors.numpy import save

from collegium.output.progress import Watching
from collegium.simulation.settings import SimulationSettings
from collegium.simulation.simulate import simulate_study
from collegium.simulation.sweeps.grid import Grid
from collegium.simulation.sweeps.sweep import sweep_studies
from collegium.studies.preflight import describe_study
from pipelines.networks.networks import build, parameters_of
from pipelines.recipes.admission import admit_beside
from pipelines.recipes.loading import forget
from protocol.encoding import digest
from protocol.errors import PolicyRefused, StudyRefused
from protocol.study.study import Study
from protocol.study.study_file import lines_of, read_study, read_study_file
from tests import ROOT
from tests.support.hospital.recipes import NAME, install, make_wheel, package_of, study_with
from tests.support.simulated.studies import TABLE_STUDY, changed, small_study

IMAGES = (ROOT / "examples" / "pneumonia-modes" / "per-site.yaml").read_text()
WIDE = {"_target_": "acme-recipes:TinyNet", "width": 99}
VOLUMES = (ROOT / "examples" / "segmentation-3d" / "study.yaml").read_text()


@pytest.fixture(autouse=True)
def nothing_imported() -> Iterator[None]:
    """Leaves no package of these tests imported."""
    yield
    forget(NAME)


def checked(study: Study, *, with_records: bool = True) -> str:
    screen = io.StringIO()
    describe_study(study, Console(file=screen, width=200), with_records=with_records)
    return screen.getvalue()


def with_network(text: str, network: str, shape: str) -> str:
    text = re.sub(r"^  network: .*$", f"  network: {network}", text, flags=re.MULTILINE)
    return re.sub(r"shape: \[.*?\]", f"shape: {shape}", text)


@pytest.mark.parametrize(
    ("text", "network", "shape", "key", "told"),
    [
        (
            IMAGES,
            "{_target_: DenseNet121, norm: [group, {num_groups: 7}]}",
            "[32, 32]",
            "task.network.norm",
            "a layer has 64 channels, and 7 groups do not divide them",
        ),
        (
            VOLUMES,
            "{_target_: SegResNet, init_filters: 6}",
            "[24, 24, 24]",
            "task.network.norm",
            "a layer has 6 channels, and 8 groups do not divide them",
        ),
        (
            VOLUMES,
            "{_target_: UNet, channels: [8, 16, 32], strides: [2, 2]}",
            "[22, 22, 22]",
            "task.network.strides",
            "images of 22 x 22 x 22 do not come back to their size",
        ),
        (
            VOLUMES,
            "{_target_: BasicUNet}",
            "[24, 24, 24]",
            "task.network.norm",
            "images of 24 x 24 x 24 are down to one pixel in a layer",
        ),
        (
            VOLUMES,
            "{_target_: DynUNet, kernel_size: [3, 3, 3], strides: [1, 8, 8], "
            "upsample_kernel_size: [8, 8]}",
            "[64, 64, 64]",
            "task.network.upsample_kernel_size",
            "a stride is too large for its kernel",
        ),
        (IMAGES, "{_target_: ViT, patch_size: 5}", "[28, 28]", "task.network", "multiples of 5"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_with_its_line_in_plain_words(
    tmp_path: Path, text: str, network: str, shape: str, key: str, told: str
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(with_network(text, network, shape))
    line = path.read_text().splitlines().index(f"  network: {network}") + 1
    study = read_study_file(path)
    with pytest.raises(StudyRefused) as refusal, lines_of(path):
        checked(study)
    said = str(refusal.value)
    assert said.startswith(f"{path}:{line}: {key}: ") and told in said
    for word in ("num_channels", "torch", "Tensor", "dimension 2", "broadcast", "spatial element"):
        assert word not in said


def test_a_refusal_that_names_no_key_of_the_study_keeps_its_words(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(TABLE_STUDY)
    for words in ("site east: no records", "recipes: acme-recipes failed", f"{path}:3: name: long"):
        with pytest.raises(StudyRefused) as refusal, lines_of(path):
            raise StudyRefused(words)
        assert str(refusal.value) == words


def test_every_misfit_of_layers_and_parameters_is_told(tmp_path: Path) -> None:
    tensors = parameters_of(build(small_study().task, small_study().cohort, 1))
    wrong = {f"elsewhere.{name}": tensor for name, tensor in tensors.items()}
    data = save({**wrong, "a": tensors["output.weight"], "output.bias": tensors["output.weight"]})
    (tmp_path / "start.safetensors").write_bytes(data)
    start = f"pretrained: {{file: start.safetensors, sha256: {digest(data)}, source: a journal}}"
    path = tmp_path / "study.yaml"
    path.write_text(changed("task:\n", f"task:\n  {start}\n"))
    study = read_study_file(path)
    with pytest.raises(StudyRefused) as refusal, lines_of(path):
        checked(study, with_records=False)
    *lines, rest = str(refusal.value).splitlines()
    line = path.read_text().splitlines().index(f"  {start}") + 1
    assert len(lines) == 4 and all(each.startswith(f"{path}:{line}: task.pret") for each in lines)
    assert rest == f"and {len(wrong) + 2 - 4} more faults"
    layers = read_study(changed("task:\n", "task:\n  trained_layers: [head, tail, output]\n"))
    with pytest.raises(StudyRefused, match="(?s)no layer 'head' .*\n.*no layer 'tail' "):
        checked(layers)
    text = changed("task:\n", "task:\n  adapters: {rank: 2, layers: [head, tail]}\n")
    with pytest.raises(StudyRefused, match="'head' and 'tail' are no linear layers and hold none"):
        checked(read_study(text))


def test_nothing_starts_where_layers_are_not_the_networks(tmp_path: Path) -> None:
    study = read_study(changed("task:\n", "task:\n  trained_layers: [head]\n"))
    for site in study.site_names:
        (tmp_path / f"{site}.csv").write_text("patient,age,ward,ill\n")
    settings = SimulationSettings(data=tmp_path)
    with pytest.raises(StudyRefused, match="no layer 'head' has parameters"):
        simulate_study(study, tmp_path, tmp_path / "out", settings, _started)
    grid = Grid(epsilons=(1.0,), seeds=(1,))
    with pytest.raises(StudyRefused, match="no layer 'head' has parameters"):
        sweep_studies([(study, tmp_path)], tmp_path / "out", grid, settings, _started)
    assert not (tmp_path / "out").exists()


def _started(study: Study, runs: int, by_round: bool) -> Watching:
    raise AssertionError("the hospitals were started")


def test_a_recipes_network_is_built_and_files_that_differ_end_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site-packages"
    site.mkdir()
    monkeypatch.syspath_prepend(site)
    wheel = make_wheel(tmp_path / "wheels")
    study = study_with(package_of(wheel), network=WIDE)
    admit_beside(study, tmp_path / "wheels")
    assert "is not installed here" in checked(study)
    install(wheel, site)
    with pytest.raises(StudyRefused, match="width"):
        checked(study)
    (site / "acme_recipes" / "__init__.py").write_text("x = 1\n")
    for with_records in (True, False):
        with pytest.raises(PolicyRefused, match=r"was changed.*install the wheel again"):
            checked(study, with_records=with_records)


def test_a_study_that_counts_columns_is_checked_with_its_records() -> None:
    study = read_study_file(ROOT / "examples" / "heart-disease" / "statistics.yaml")

    assert "every patient is counted" in checked(study, with_records=True)
