"""A study starts from public parameters, trains some layers, and freezes the others."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from compliance.governance.study_store import StudyStore
from pipelines.gradients.engine_choice import engine_for
from pipelines.gradients.opacus_check import refuse_unfit
from pipelines.networks.networks import build, parameters_of
from pipelines.tasks.registry import task_of
from protocol.encoding import digest
from protocol.errors import StoreBroken, StudyRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study, read_study_file
from silos.config.policy import refusals
from silos.config.site_file import Policy
from silos.training.randomness import FixedEntropy, RoundInput
from silos.training.trainer import Trainer
from tests.bench import studies
from tests.support.machine.commands import ask
from tests.support.machine.one_thread import one_thread  # noqa: F401
from tests.support.machine.short_form import short_form
from tests.support.simulated.networks import NETWORKS, learned_by
from tests.support.simulated.studies import TABLE_STUDY, changed, small_study

#: The layers of which a head is made, by network.
HEADS = {
    "FullyConnectedNet": "output", "Classifier": "final", "Regressor": "final",
    "DenseNet121": "class_layers", "ViT": "network.classification_head", "UNet": "model.2",
    "SegResNet": "conv_final",
}  # fmt: skip


def file_of(study: Study, **tensors: np.ndarray) -> bytes:
    """The parameters that the study's network starts with, some of them others."""
    module = build(study.task, study.cohort, study.seeds.model)
    return save({name: t + np.float32(0.25) for name, t in parameters_of(module).items()} | tensors)


def starting(data: bytes, more: str = "") -> str:
    words = f"pretrained: {{file: start.safetensors, sha256: {digest(data)}, source: a journal}}"
    return changed("task:\n", f"task:\n  {words}\n{more}")


def written(folder: Path, text: str, data: bytes) -> Path:
    (folder / "start.safetensors").write_bytes(data)
    (folder / "study.yaml").write_text(text)
    return folder / "study.yaml"


def test_the_network_begins_with_what_the_file_holds_and_the_rest_by_the_seed(
    tmp_path: Path,
) -> None:
    whole = file_of(small_study())
    study = read_study_file(written(tmp_path, starting(whole), whole))
    found = parameters_of(build(study.task, study.cohort, study.seeds.model))
    plain = parameters_of(build(small_study().task, study.cohort, study.seeds.model))
    assert all(np.array_equal(found[name], plain[name] + np.float32(0.25)) for name in plain)
    one, name = {}, sorted(plain)[0]
    one[name] = np.zeros_like(plain[name])
    part = save(one)
    study = read_study_file(written(tmp_path, starting(part), part))
    found = parameters_of(build(study.task, study.cohort, study.seeds.model))
    assert not found[name].any()
    assert all(np.array_equal(found[other], plain[other]) for other in plain if other != name)


def test_what_is_not_the_files_or_the_networks_is_refused_in_words(tmp_path: Path) -> None:
    whole = file_of(small_study())
    name, tensor = sorted(
        parameters_of(build(small_study().task, small_study().cohort, 1)).items()
    )[0]
    for data, told in (
        (b"\x80\x04K\x01.", "not safetensors"),  # a pickle
        (save({name: tensor.astype(np.float64)}), "is float64, expected float32"),
        (save({name: np.full_like(tensor, np.nan)}), "not finite"),
    ):
        with pytest.raises(StudyRefused, match=told):
            read_study_file(written(tmp_path, starting(data), data))
    with pytest.raises(
        StudyRefused, match="is not the file that the study names: its sha256 begins"
    ):
        read_study_file(written(tmp_path, starting(whole), whole[:-1] + b"\x00"))
    (tmp_path / "start.safetensors").unlink()
    with pytest.raises(StudyRefused, match="start.safetensors cannot be read: No such file"):
        read_study_file(tmp_path / "study.yaml")
    for tensors, told in (
        ({"elsewhere.weight": tensor}, "holds 'elsewhere.weight', which the network has not"),
        ({name: np.zeros(99, np.float32)}, rf"'{name}' has shape \(99,\), the network's has"),
    ):
        data = save(tensors)
        study = read_study_file(written(tmp_path, starting(data), data))
        with pytest.raises(StudyRefused, match=told):
            build(study.task, study.cohort, 1)
    with pytest.raises(StudyRefused, match="is not at hand: read the study from its file"):
        study = read_study(starting(whole))
        build(study.task, study.cohort, 1)


@pytest.mark.parametrize("file", ["../start.safetensors", "start.pt", "/etc/start.safetensors"])
def test_a_file_of_another_kind_or_place_is_refused_with_its_line(file: str) -> None:
    text = starting(b"").replace("file: start.safetensors", f"file: {file}")
    with pytest.raises(StudyRefused, match=r":\d+: .*pretrained.file"):
        read_study(text)


@pytest.mark.parametrize("name", short_form(HEADS, 3))
def test_frozen_layers_are_no_parameters_and_gradients_are_those_of_the_rest(name: str) -> None:
    task, cohort, form = learned_by(name)
    whole = build(task, cohort, 1)
    frozen_task = task.model_copy(update={"trained_layers": (HEADS[name],)})
    module = build(frozen_task, cohort, 1)
    refuse_unfit(module)
    trained = {n for n, _ in module.named_parameters()}
    names = {n for n, _ in whole.named_parameters()}
    assert trained == {n for n in names if n.startswith(f"{HEADS[name]}.")}
    assert names - trained <= {n for n, _ in module.named_buffers()}
    random, learned = np.random.default_rng(3), task_of(task, cohort)
    features = torch.from_numpy(random.normal(size=(3, 2, *form)).astype(np.float32))
    labels = torch.from_numpy(learned.drawn_labels(random, 6))
    labels, weights = labels.reshape(3, 2, *labels.shape[1:]), torch.full((3, 2), 0.5)
    chosen = engine_for(frozen_task, cohort, module, tuple(features.shape))
    rows = chosen.engine(features, labels, weights)
    engine = engine_for(task, cohort, whole, tuple(features.shape)).engine
    every = engine(features, labels, weights)
    owned, place = [], 0
    for parameter, tensor in sorted(whole.named_parameters()):
        if parameter in trained:
            owned.append(every[:, place : place + tensor.numel()])
        place += tensor.numel()
    expected = torch.cat(owned, dim=1)
    assert rows.shape == expected.shape
    assert (rows - expected).norm() <= 1e-3 * expected.norm()
    assert chosen.name != "one at a time" or NETWORKS[name][2] == "one at a time"


def test_layers_that_are_not_there_are_refused_with_those_that_are() -> None:
    with pytest.raises(StudyRefused, match="trained_layers"):
        read_study(changed("task:\n", "task:\n  trained_layers: []\n"))
    study = read_study(changed("task:\n", "task:\n  trained_layers: [head]\n"))
    with pytest.raises(StudyRefused, match="no layer 'head' has parameters; there are .*output"):
        build(study.task, study.cohort, 1)


def test_a_frozen_layer_is_neither_moved_nor_sent(tmp_path: Path) -> None:
    whole = file_of(small_study())
    text = starting(whole, "  trained_layers: [output]\n")
    study = read_study_file(written(tmp_path, text, whole))
    records = studies.drawn_records(study, 40)
    records.features.resize((40, study.cohort.width), refcheck=False)  # type: ignore[union-attr]
    trainer = Trainer(study, "east", records, records)
    model = trainer.initial_model()
    assert {name.split(".")[0] for name in model} == {"output"}
    before = {n: b.clone() for n, b in trainer._module.named_buffers()}
    given = RoundInput(model=model, number=0, noise_multiplier=1.0)
    moved = trainer.update(given, FixedEntropy(1, simulated=True)).update
    assert moved.size == sum(t.size for t in model.values()) and moved.any()
    assert before and all(torch.equal(b, before[n]) for n, b in trainer._module.named_buffers())


def test_a_hospital_keeps_the_file_with_the_study_it_approves(tmp_path: Path) -> None:
    whole = file_of(small_study())
    store = StudyStore(tmp_path / "kept")
    study = store.keep(starting(whole), None, whole)
    kept, _ = StudyStore(tmp_path / "kept").read(study.digest)
    assert set(kept.task.pretrained.tensors) == set(  # type: ignore[union-attr]
        parameters_of(build(small_study().task, small_study().cohort, 1))
    )
    (tmp_path / "kept" / study.digest / "start.safetensors").write_bytes(b"other")
    with pytest.raises(StoreBroken, match="was changed: approve it again"):
        store.read(study.digest)
    with pytest.raises(StudyRefused, match="is not the file that the study names"):
        store.keep(starting(whole), None, b"other")


def test_what_is_attached_stays_with_a_study_in_another_mode_and_in_another_process(
    tmp_path: Path,
) -> None:
    whole = file_of(small_study())
    study = read_study_file(written(tmp_path, starting(whole), whole))
    copied = pickle.loads(pickle.dumps(study))  # noqa: S301
    for other in (study.with_epsilon(2.0), copied, study.with_split(5)):
        assert other.task.pretrained is not None
        assert set(other.task.pretrained.tensors) == set(study.task.pretrained.tensors)  # type: ignore[union-attr]
    assert read_study(starting(whole)).digest == study.digest
    assert b"pretrained" not in small_study().canonical_bytes
    assert TABLE_STUDY.count("pretrained") == 0


def test_a_site_allows_only_the_parameters_that_it_lists(tmp_path: Path) -> None:
    whole = file_of(small_study())
    study = read_study(starting(whole))
    for listed, refused in (("", True), (digest(whole), False)):
        policy = Policy(pretrained=(listed,) if listed else ())
        found = [each for each in refusals(policy, study, site="east") if "starts" in each.what]
        assert bool(found) is refused
        assert not refused or "start.safetensors, which is not allowed: a journal" in found[0].what


def test_study_check_says_what_it_starts_from_and_what_is_trained(tmp_path: Path) -> None:
    whole = file_of(small_study())
    path = written(tmp_path, starting(whole, "  trained_layers: [output]\n"), whole)
    said = ask("study", "check", path).stdout
    assert f"starts from a journal (start.safetensors, SHA-256 {digest(whole)}); no claim" in said
    assert "trains output; other layers are frozen" in said
    path.write_text(starting(whole, "  trained_layers: [head]\n"))
    done = ask("study", "check", path)
    assert done.returncode == 2 and "no layer 'head' has parameters" in done.stderr
    (tmp_path / "start.safetensors").write_bytes(b"other")
    done = ask("study", "check", path)
    assert done.returncode == 2 and "is not the file that the study names" in done.stderr
