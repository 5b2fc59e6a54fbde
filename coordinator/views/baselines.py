"""A comparison with baselines that lies in a folder, as ``collegium baselines`` wrote it."""

import json
from pathlib import Path

from compliance.facts.comparison.baselines import BASELINES_FILE, BaselineFindings
from protocol.errors import StoreBroken

#: A comparison of a hundred hospitals has a tenth of it.
MAX_BYTES = 1 << 26


def baselines_in(folder: Path) -> BaselineFindings | None:
    """Returns the comparison in a folder; None where there is none.

    Raises:
        StoreBroken: its file cannot be read, is damaged, or is no comparison at all.
    """
    path = folder / BASELINES_FILE
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreBroken(f"{path} cannot be read: {error.strerror}") from error
    try:
        if len(data) > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES} bytes")
        return BaselineFindings.from_json(json.loads(data))
    except (ValueError, RecursionError) as error:
        raise StoreBroken(
            f"{path} is damaged, or no comparison at all: collegium baselines STUDY --out {folder} "
            "writes it anew"
        ) from error
