"""The MONAI bundle: configs that MONAI alone builds the network from, its parameters, its facts.

``configs/inference.json`` defines the network by MONAI's own class, and scores encoded records
(``python -m monai.bundle run``); ``configs/metadata.json`` is what MONAI asks of a bundle, with how
a hospital's record becomes an input. ``models/model.pt`` holds the state dictionary as MONAI loads
it (``weights_only``): MONAI 1.6 reads no safetensors.
"""

import io
import json
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from collegium.models.exports import folder as files
from collegium.models.exports.forms.form import FormUnavailable, WrittenForm
from collegium.models.exports.forms.monai_network import monai_definition
from collegium.models.exports.forms.network import BuiltModel, outputs_of
from collegium.models.exports.released import ReleasedModel
from protocol.study.cohort.cohort import ImageCohort
from protocol.study.task.task import output_of
from silos.results.kept_models import inputs_of

#: What metadata is held to; the address under which MONAI publishes it.
SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/"
    "meta_schema_20240725.json"
)
_VERSION = "1.0.0"
#: What a task's outputs are, and what one does with them to read them.
_READ = {
    "binary_classification": "torch.sigmoid",
    "multilabel_classification": "torch.sigmoid",
}


def write_bundle(released: ReleasedModel, built: BuiltModel, folder: Path) -> WrittenForm:
    """Writes the bundle's three files.

    Raises:
        FormUnavailable: MONAI alone does not build this network.
    """
    import torch

    study = released.study
    definition = monai_definition(study.task, study.cohort)
    if definition is None:
        raise FormUnavailable(
            f"{study.task.network.target} of this study is no network that MONAI builds by itself "
            "(several parts, a recipe, adapters, or more outputs than one): take --forms torch,onnx"
        )
    module, state = _monai_module(definition, built)
    data = io.BytesIO()
    torch.save(state, data)
    configs = {
        files.INFERENCE: _inference(definition, study.task.kind),
        files.METADATA: _metadata(released, built, module),
    }
    for name, config in configs.items():
        _write(folder / name, json.dumps(config, indent=2).encode() + b"\n")
    _write(folder / files.BUNDLE, data.getvalue())
    return WrittenForm(
        files=(files.BUNDLE, *configs),
        run=partial(outputs_of, module),
        software={name: version(name) for name in ("monai", "torch")},
        facts={},
    )


def _monai_module(definition: Mapping[str, Any], built: BuiltModel) -> tuple[Any, dict[str, Any]]:
    """Returns the network as MONAI builds it, and the whole state that it takes.

    MONAI makes a few parameters that nothing uses, which ours is without: they stay as MONAI
    made them.

    Raises:
        FormUnavailable: MONAI's network has not all of our parameters, or others beside them.
    """
    import torch
    from monai.bundle.config_parser import ConfigParser

    parser = ConfigParser(json.loads(json.dumps(_network_config(definition))))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = parser.get_parsed_content("network_def")
    state, own = module.state_dict(), built.module.state_dict()
    more = [name for name in state if name not in own and "norm_cross_attn" not in name]
    if more or not own.keys() <= state.keys():
        odd = next(iter([*more, *sorted(own.keys() - state.keys())]))
        raise FormUnavailable(f"MONAI's own network has other parameters: {odd}")
    state = {name: (own.get(name, value)).detach().clone() for name, value in state.items()}
    module.load_state_dict(state)
    return module.eval(), state


def _network_config(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the part of the config that builds the network.

    EfficientNet's activation is computed in two ways, which round differently: it gets the one
    that it was trained with.
    """
    if not str(definition["_target_"]).endswith("EfficientNetBN"):
        return {"network_def": dict(definition)}
    return {
        "made": dict(definition),
        "network_def": "$(@made.set_swish(memory_efficient=False), @made)[1]",
    }


def _inference(definition: Mapping[str, Any], task: str) -> dict[str, Any]:
    """Returns the config that builds the network, loads its parameters and scores records.

    Everything after ``$`` is ours; nothing of a study's texts goes into it.
    """
    read = _READ.get(task)
    scored = "@inferer(@records, @network).detach().cpu()"
    return {
        "imports": ["$import json", "$import torch", "$from pathlib import Path"],
        "bundle_root": ".",
        "checkpoint": "$str(Path(@bundle_root) / 'models' / 'model.pt')",
        "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
        **_network_config(definition),
        "parameters": "$torch.load(@checkpoint, map_location=@device, weights_only=True)",
        "network": "$(@network_def.load_state_dict(@parameters), "
        "@network_def.to(@device).eval())[1]",
        "inferer": {"_target_": "SimpleInferer"},
        "input_file": "records.json",
        "output_file": "outputs.json",
        "records": "$torch.tensor(json.loads(Path(@input_file).read_text()), "
        "dtype=torch.float32, device=@device)",
        "outputs": f"${scored}",
        "scores": f"${read}(@outputs)" if read else "@outputs",
        "run": ["$Path(@output_file).write_text(json.dumps(@scores.tolist()))"],
    }


def _metadata(released: ReleasedModel, built: BuiltModel, module: Any) -> dict[str, Any]:
    """Returns what MONAI asks a bundle to say of itself, and how a record becomes an input."""
    study, snapshot = released.study, released.snapshot
    cohort, shape = study.cohort, built.shape
    outputs = built.outputs.shape[1:]
    low, high = float(built.inputs.min()), float(built.inputs.max())
    image = isinstance(cohort, ImageCohort) and len(shape) > 1
    tensor = {"is_patch_data": False, "dtype": "float32"}
    return {
        "schema": SCHEMA,
        "version": _VERSION,
        "changelog": {_VERSION: f"snapshot {snapshot.digest}"},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {},
        "name": released.name,
        "task": study.title,
        "description": study.purpose,
        "authors": f"the consortium of {', '.join(snapshot.sites)}",
        "copyright": f"licence: {snapshot.licence or 'none declared'}",
        "intended_use": snapshot.permitted_use or "none declared",
        "data_source": f"records of {len(snapshot.sites)} hospitals, which keep them",
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image" if image else "feature",
                    "format": "encoded image" if image else "encoded record",
                    "num_channels": shape[0],
                    "spatial_shape": list(shape[1:]),
                    "value_range": [low, high],
                    "channel_def": {"0": "image"} if image else {},
                    **tensor,
                }
            },
            "outputs": {
                "pred": {
                    "type": "segmentation" if len(outputs) > 1 else "logits",
                    "format": output_of(study.task),
                    "num_channels": outputs[0],
                    "spatial_shape": list(outputs[1:]),
                    "value_range": [],
                    "channel_def": {str(place): _class(place) for place in range(outputs[0])},
                    **tensor,
                }
            },
        },
        "record_encoding": inputs_of(study),
        "snapshot": snapshot.digest,
        "parameters": sum(one.numel() for one in module.parameters()),
    }


def _class(place: int) -> str:
    return f"output {place}"


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
