"""The model as a program of torch.export: it runs wherever torch is, without our code or MONAI's.

The number of records stays open; all other sides are fixed. ``torch.export.load`` reads it.
"""

import io
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from collegium.models.exports import folder as files
from collegium.models.exports.forms.form import FormUnavailable, WrittenForm
from collegium.models.exports.forms.network import BuiltModel, outputs_of
from collegium.models.exports.released import ReleasedModel


def exported_program(built: BuiltModel) -> Any:
    """Returns the model as torch.export has it.

    Raises:
        FormUnavailable: torch cannot follow the network.
    """
    import torch

    records = torch.from_numpy(built.inputs[:2].copy())
    try:
        return torch.export.export(
            built.module, (records,), dynamic_shapes=({0: torch.export.Dim("records", min=1)},)
        )
    except (torch._dynamo.exc.UserError, torch._dynamo.exc.Unsupported, ValueError) as error:
        said = str(error).partition("\n")[0]
        raise FormUnavailable(f"torch.export cannot follow this network: {said:.200}") from error


def write_program(_released: ReleasedModel, built: BuiltModel, folder: Path) -> WrittenForm:
    """Writes the program.

    Raises:
        FormUnavailable: torch cannot follow the network.
    """
    import torch

    program, data = exported_program(built), io.BytesIO()
    torch.export.save(program, data)
    path = folder / files.PROGRAM
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data.getvalue())
    return WrittenForm(
        files=(files.PROGRAM,),
        run=partial(outputs_of, program.module()),
        software={"torch": version("torch")},
        facts={},
    )
