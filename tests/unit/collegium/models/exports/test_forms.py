"""Forms of a model: equal to it within what each allows, and used by other software alone.

The other software runs in processes of its own, where nothing of Collegium can be imported: Python
without its site packages' hooks (``-S``), by which alone an installed checkout is found.
"""

import json
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import pytest

from collegium.models.exports.exporting import ExportRequest, export_model
from collegium.models.exports.folder import INT8, ONNX
from collegium.models.exports.forms.form import FormUnavailable, fidelity_of
from collegium.models.exports.forms.headline import SimulatedHeadline
from collegium.models.exports.forms.monai_network import monai_definition
from collegium.models.exports.forms.network import BuiltModel, built_model
from collegium.models.exports.forms.registry import chosen_forms
from collegium.models.exports.released import released_model
from collegium.models.exports.signed_files import digests_in
from collegium.models.exports.verifying import verify_export
from coordinator.database.workspace import Workspace
from pipelines.networks.networks import build, parameters_of
from protocol.errors import PolicyRefused
from protocol.study.study import Study
from protocol.study.study_file import read_study
from tests.support.simulated.released import released_study
from tests.support.simulated.studies import TABLE_STUDY

SITE = sysconfig.get_paths()["purelib"]
#: Where ``make test`` unpacks the packages of ``tests/support/model-signing.lock``.
SIGNING = Path(sys.prefix, "share", "model-signing")
_ALONE = """
import importlib.util, runpy, sys
sys.path[:] = [p for p in sys.path if p] + sys.argv[1].split(":")
ours = ("collegium", "pipelines", "protocol", "silos", "coordinator", "compliance")
assert not [name for name in ours if importlib.util.find_spec(name)], "our own code can be imported"
"""


Ended: TypeAlias = subprocess.CompletedProcess[str]


def alone(script: str, *words: object, also: Path | None = None) -> Ended:
    """Runs Python that can import the installed packages, and nothing of ours."""
    paths = ":".join(map(str, [*([also] if also else []), SITE]))
    return subprocess.run(
        [sys.executable, "-S", "-c", _ALONE + script, paths, *map(str, words)],
        cwd="/", capture_output=True, text=True, timeout=300, env={"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def whole(two_runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export with every form."""
    to = tmp_path_factory.mktemp("whole") / "model"
    data = two_runs.parent / "data"
    export_model(two_runs, ExportRequest(version="run-1", to=to, data=data))
    return to


@pytest.fixture(scope="module")
def built(whole: Path) -> BuiltModel:
    """The same model in this process."""
    from protocol.vectors.tensors import decode_tensors

    return built_model(released_study(), decode_tensors((whole / "model.safetensors").read_bytes()))


def test_every_form_is_there_and_as_near_as_it_must_be(whole: Path, two_runs: Path) -> None:
    told = json.loads((whole / "fidelity.json").read_bytes())
    assert list(told["forms"]) == ["bundle", "torch", "onnx", "int8"] and not told["left_out"]
    for form in chosen_forms(("bundle", "torch", "onnx")):
        assert told["forms"][form.name]["largest_difference"] <= (form.most or 0)
    int8 = told["forms"]["int8"]
    assert 0 < int8["largest_difference"] < 0.1  # it costs something, and that is told
    headline = int8["simulated_headline"]
    assert headline["figure"] == "auroc" and headline["patients"] > 20
    assert headline["model"] > 0.8 and abs(headline["form"] - headline["model"]) < 0.05
    assert {"mean_difference", "largest_risk_difference", "decisions_changed"} <= int8.keys()
    assert verify_export(whole, Workspace(two_runs).public_key())["verified"]


def test_monai_alone_verifies_the_bundle_and_scores_as_we_do(
    whole: Path, built: BuiltModel, tmp_path: Path
) -> None:
    names = ("records", "scores", "schema", "where")
    records, scores, schema, other = (tmp_path / f"{name}.json" for name in names)
    records.write_text(json.dumps(built.inputs.tolist()))
    schema.write_text(json.dumps(_METADATA_SCHEMA))
    other.write_text(json.dumps({"schema": schema.as_uri()}))
    found = alone(
        """
import json, os, sys, torch
from monai.bundle import load, run, verify_metadata, verify_net_in_out
folder, records, scores, other, outputs = sys.argv[2:]
meta, config = folder + "/configs/metadata.json", folder + "/configs/inference.json"
verify_metadata([meta, other], filepath=outputs + ".schema.json")
verify_net_in_out("network_def", meta_file=meta, config_file=config, device="cpu")
run(config_file=config, meta_file=meta, bundle_root=folder, input_file=records, output_file=scores)
place, name = os.path.split(folder)
network = load(name, bundle_dir=place, workflow_type="inference", device="cpu").eval()
program = torch.export.load(folder + "/models/model.pt2").module()
given = torch.tensor(json.load(open(records)))
with torch.no_grad():
    json.dump([network(given).tolist(), program(given).tolist()], open(outputs, "w"))
""",
        whole, records, scores, other, tmp_path / "outputs",
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    by_monai, by_torch = json.loads((tmp_path / "outputs").read_bytes())
    assert np.array_equal(np.array(by_monai, np.float32), built.outputs)
    assert np.allclose(np.array(by_torch, np.float32), built.outputs, rtol=0, atol=1e-6)
    risks = 1 / (1 + np.exp(-built.outputs.astype(np.float64)))
    assert np.allclose(json.loads(scores.read_bytes()), risks, rtol=0, atol=1e-6)


#: What MONAI publishes asks for (meta_schema_20240725): these keys, and this of a tensor.
_TENSOR = {
    "type": "object",
    "required": ["type", "format", "num_channels", "spatial_shape", "dtype", "value_range"],
    "properties": {
        "num_channels": {"type": "integer"},
        "spatial_shape": {"type": "array", "items": {"type": ["integer", "string"]}},
        "value_range": {"type": "array", "items": {"type": "number"}},
        "is_patch_data": {"type": "boolean"},
        "channel_def": {"type": "object"},
    },
}
_TENSORS = {"type": "object", "minProperties": 1, "additionalProperties": _TENSOR}
_TEXTS = (
    "schema", "version", "monai_version", "pytorch_version", "numpy_version", "task",
    "description", "authors", "copyright",
)  # fmt: skip
_METADATA_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2019-09/schema",
    "type": "object",
    "required": [*_TEXTS, "required_packages_version", "network_data_format"],
    "properties": {
        **{name: {"type": "string"} for name in (*_TEXTS, "intended_use", "data_source")},
        "changelog": {"type": "object"},
        "required_packages_version": {"type": "object"},
        "network_data_format": {
            "type": "object",
            "required": ["inputs", "outputs"],
            "properties": {"inputs": _TENSORS, "outputs": _TENSORS},
        },
    },
}


def _stock(folder: Path) -> Ended:
    """Verifies a folder with the reference implementation of model signing."""
    if not (SIGNING / "model_signing").is_dir():
        pytest.skip("make test installs the packages of tests/support/model-signing.lock")
    script = """
sys.argv[:] = ["model_signing", "verify", "key", *sys.argv[2:]]
runpy.run_module("model_signing", run_name="__main__")
"""
    words = ("--signature", folder / "model.sig", "--public_key", folder / "release.pub")
    return alone(script, folder, *words, also=SIGNING)


def _change(folder: Path) -> str:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x07")
    return "Hash mismatch for"


def _add(folder: Path) -> str:
    (folder / "models" / "more.txt").write_text("x")
    return "Extra files found"


def _cut(folder: Path) -> str:
    path = folder / "study.json"
    path.write_bytes(path.read_bytes()[:-1])
    return "Hash mismatch for"


def test_the_stock_verifier_of_model_signing_accepts_the_folder(whole: Path) -> None:
    found = _stock(whole)
    assert found.returncode == 0, found.stderr
    assert "succeeded" in found.stdout


@pytest.mark.parametrize("tamper", [_change, _add, _cut])
def test_the_stock_verifier_refuses_what_was_tampered_with(
    whole: Path, tmp_path: Path, tamper: Callable[[Path], str]
) -> None:
    copy = Path(shutil.copytree(whole, tmp_path / "copy"))
    told = tamper(copy)
    found = _stock(copy)
    assert found.returncode != 0 and told in found.stdout + found.stderr


def test_onnx_runtime_gives_the_same_for_any_number_of_records(
    whole: Path, built: BuiltModel
) -> None:
    import onnxruntime

    for name, most in ((ONNX, 1e-4), (INT8, 0.1)):
        session = onnxruntime.InferenceSession(
            (whole / name).read_bytes(), providers=["CPUExecutionProvider"]
        )
        for count in (1, 3, len(built.inputs)):
            (found,) = session.run(["outputs"], {"records": built.inputs[:count]})
            assert np.abs(found - built.outputs[:count]).max() <= most


@pytest.mark.parametrize("hostile", [np.nan, np.inf, -np.inf])
def test_no_form_of_onnx_gives_a_score_to_a_record_that_is_none(
    whole: Path, built: BuiltModel, hostile: float
) -> None:
    import onnxruntime

    inputs = built.inputs[:3].copy()
    inputs[1].flat[0] = hostile
    for form in (ONNX, INT8):
        session = onnxruntime.InferenceSession(whole / form, providers=["CPUExecutionProvider"])
        (plain,) = session.run(None, {"records": built.inputs[:3]})
        (found,) = session.run(None, {"records": inputs})
        assert not np.isfinite(found[1]).any() and np.array_equal(found[::2], plain[::2])


def test_a_form_that_is_another_model_is_not_exported(built: BuiltModel) -> None:
    (form,) = chosen_forms(("onnx",))
    for off, told in ((1e-3, "0.001"), (np.nan, "nan")):
        written: Any = SimpleNamespace(files=("x",), software={}, facts={})
        written.run = lambda _inputs, off=off: built.outputs + np.float32(off)
        with pytest.raises(PolicyRefused, match=f"the form onnx differs from the model by {told}"):
            fidelity_of(form, written, built)


def test_exact_figures_are_of_simulations_alone(two_runs: Path) -> None:
    released = released_model(two_runs, "run-1")
    real = replace(released, dossier=replace(released.dossier, simulation=False))
    with pytest.raises(PolicyRefused, match="run-1 is no simulation"):
        SimulatedHeadline(real, two_runs.parent / "data")


_IMAGES = """  kind: images
  patient_key: patient
  label: {column: labels, positive: [1], negative: [0]}
  image: {shape: [32, 32], range: [0, 255], centre: 128, scale: 64}
"""


def _image_study(network: str) -> Study:
    begin, end = TABLE_STUDY.index("  kind: table"), TABLE_STUDY.index("sites:")
    text = TABLE_STUDY[:begin] + _IMAGES + TABLE_STUDY[end:]
    return read_study(text.replace("{_target_: FullyConnectedNet, hidden_channels: [4]}", network))


@pytest.mark.parametrize(
    "network",
    [
        "{_target_: Classifier, channels: [4, 8], strides: [2, 2]}",
        pytest.param("{_target_: EfficientNetBN}", marks=pytest.mark.long),
    ],
)
def test_monai_builds_each_network_that_it_has_a_name_for(network: str, tmp_path: Path) -> None:
    study = _image_study(network)
    built = built_model(study, parameters_of(build(study.task, study.cohort, seed=5)))
    (form,) = chosen_forms(("bundle",))
    written = form.write(_released(study), built, tmp_path)
    assert fidelity_of(form, written, built)["largest_difference"] <= 1e-6
    assert sorted(digests_in(tmp_path)) == sorted(written.files)


def test_a_network_that_monai_has_no_name_for_has_no_bundle(tmp_path: Path) -> None:
    study = _image_study("{_target_: ViT, hidden_size: 8, mlp_dim: 8, num_layers: 1, num_heads: 1}")
    assert monai_definition(study.task, study.cohort) is None
    resnet = _image_study("{_target_: resnet10}")
    assert monai_definition(resnet.task, resnet.cohort) is None
    built = built_model(study, parameters_of(build(study.task, study.cohort, seed=5)))
    (form,) = chosen_forms(("bundle",))
    with pytest.raises(FormUnavailable, match="ViT of this study is no network that MONAI builds"):
        form.write(_released(study), built, tmp_path)


def _released(study: Study) -> Any:
    snapshot = SimpleNamespace(digest="a" * 64, sites=("east",), licence="", permitted_use="")
    return SimpleNamespace(study=study, name="small", snapshot=snapshot)
