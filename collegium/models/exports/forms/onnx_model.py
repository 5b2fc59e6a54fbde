"""The model in ONNX, and as int8 with what that costs, both run by ONNX Runtime.

The int8 form has weights and activations of 8 bits (QDQ: quantise and dequantise nodes). Their
ranges are taken from inputs that no patient gave, drawn from what the study declares; how far it is
from the model is measured on others. Eight bits hold neither "no number" nor infinity: of a
record with either the answer is made "no number", where they would read it as a number of the
range's end.
"""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collegium.models.exports import folder as files
from collegium.models.exports.forms.form import FormUnavailable, WrittenForm
from collegium.models.exports.forms.network import BuiltModel
from collegium.models.exports.forms.program import exported_program
from collegium.models.exports.released import ReleasedModel

#: The names of the graph's input and output.
INPUT, OUTPUT = "records", "outputs"
_SOFTWARE = ("onnx", "onnxruntime", "onnxscript", "torch")


def write_onnx(_released: ReleasedModel, built: BuiltModel, folder: Path) -> WrittenForm:
    """Writes the model as one ONNX file.

    Raises:
        FormUnavailable: the network has an operation that ONNX has not.
    """
    path = folder / files.ONNX
    path.parent.mkdir(exist_ok=True)
    _convert(built, path)
    return WrittenForm(
        files=(files.ONNX,),
        run=partial(_run, path),
        software={name: version(name) for name in _SOFTWARE},
        facts={"input": INPUT, "output": OUTPUT},
    )


def write_int8(_released: ReleasedModel, built: BuiltModel, folder: Path) -> WrittenForm:
    """Writes the model with weights and activations of 8 bits.

    Raises:
        FormUnavailable: the network has an operation that ONNX has not.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    path = folder / files.INT8
    path.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        whole = folder / files.ONNX
        if not whole.exists():
            whole = Path(scratch) / "model.onnx"
            _convert(built, whole)
        with _quiet():
            quantize_static(
                whole,
                path,
                _Calibration(built.calibration),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                weight_type=QuantType.QInt8,
                activation_type=QuantType.QInt8,
            )
            _answer_no_number(path)
        facts = {"bytes": path.stat().st_size, "bytes_of_float32": whole.stat().st_size}
    return WrittenForm(
        files=(files.INT8,),
        run=partial(_run, path),
        software={name: version(name) for name in _SOFTWARE},
        facts={"calibrated_on": len(built.calibration), **facts},
    )


class _Calibration:
    """The inputs that ranges of activations are taken from, one at a time."""

    def __init__(self, inputs: NDArray[np.float32]) -> None:
        self._left = iter(inputs)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Returns the next input by its name; None at the end."""
        found = next(self._left, None)
        return None if found is None else {INPUT: found[None]}

    def __iter__(self) -> Iterator[dict[str, NDArray[np.float32]]]:
        return iter(self.get_next, None)


def _convert(built: BuiltModel, path: Path) -> None:
    import torch

    program = exported_program(built)
    try:
        with _quiet():
            made: Any = torch.onnx.export(
                program, dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False
            )
            made.save(path, external_data=False)
    except torch.onnx.errors.OnnxExporterError as error:
        said = str(error).partition("\n")[0]
        raise FormUnavailable(f"ONNX has no form of this network: {said:.200}") from error


def _answer_no_number(path: Path) -> None:
    """Lets a written graph answer NaN of each record that holds NaN or an infinite number.

    To its outputs the sum over the record's numbers times 0 is added: 0, or NaN.
    """
    import onnx
    from onnx import helper

    model: Any = onnx.load(path)
    graph = model.graph
    (given,) = [one for one in graph.input if one.name == INPUT]
    (told,) = [one for one in graph.output if one.name == OUTPUT]
    ranks = [len(one.type.tensor_type.shape.dim) for one in (given, told)]
    finite, rest = f"{OUTPUT}_of_numbers", f"{OUTPUT}_all_but_records"
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [finite if name == OUTPUT else name for name in names]
    int64, float32 = onnx.TensorProto.INT64, onnx.TensorProto.FLOAT
    own, others = list(range(1, ranks[0])), list(range(1, ranks[1]))
    graph.initializer.extend(
        [
            helper.make_tensor("no_number_zero", float32, [], [0.0]),
            helper.make_tensor("no_number_axes", int64, [len(own)], own),
            helper.make_tensor("no_number_form", int64, [len(others)], others),
        ]
    )
    added = f"{rest}_sum"
    graph.node.extend(
        [
            helper.make_node("Mul", [INPUT, "no_number_zero"], [rest]),
            helper.make_node("ReduceSum", [rest, "no_number_axes"], [added], keepdims=0),
            *(
                [helper.make_node("Unsqueeze", [added, "no_number_form"], [f"{added}_wide"])]
                if others
                else []
            ),
            helper.make_node("Add", [finite, f"{added}_wide" if others else added], [OUTPUT]),
        ]
    )
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _run(path: Path, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns what ONNX Runtime makes of inputs with a file that was written here."""
    import onnxruntime

    session: Any = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run([OUTPUT], {INPUT: np.ascontiguousarray(inputs)})
    return np.asarray(found, dtype=np.float32)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps back what converters say to their own developers: deprecations and advice."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
