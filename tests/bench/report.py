"""Where measured rows go: a JSON file, and a table for people."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.measurement import Row

_PACKAGES = ("torch", "opacus", "monai", "numpy", "cryptography", "sqlalchemy")


def write_report(rows: Sequence[Row], out: Path, *, form: str, seconds: float) -> Path:
    """Writes ``bench.json`` and returns its path."""
    out.mkdir(parents=True, exist_ok=True)
    document = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "form": form,
        "seconds": round(seconds, 1),
        "machine": machine(),
        "rows": [_as_json(row) for row in rows],
    }
    path = out / "bench.json"
    path.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n")
    return path


def machine() -> dict[str, Any]:
    """Returns the machine's shape, and how busy it is."""
    return {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        **{name: version(name) for name in _PACKAGES},
    }


def print_table(rows: Sequence[Row], console: Console) -> None:
    """Prints every row with its ratios and its target."""
    table = Table(title="Ours beside its floors, measured in turns in this run")
    for name in ("area", "what", "case"):
        table.add_column(name, overflow="fold")
    for name in ("ours", "floor", "ratio", "target"):
        table.add_column(name, justify="right")
    for row in rows:
        names, target = (row.area, row.what, row.case, _value(row.ours, row.unit)), _target(row)
        for floor, value in row.floors.items():
            table.add_row(
                *names, f"{floor} {_value(value, row.unit)}", f"{row.ratios[floor]:.2f}x", target
            )
            names, target = ("", "", "", ""), ""
        if not row.floors:
            table.add_row(*names, "", "", target)
    console.print(table)
    for row in rows:
        if row.area == "federated round" and row.parts:
            console.print(f"Where the time of {row.what} goes:")
            for name, value in row.parts.items():
                console.print(f"  {name:<32} {value:8.2f}")


def _value(value: float, unit: str) -> str:
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 1000 else 0
    return f"{value:.{digits}f} {unit}"


def _target(row: Row) -> str:
    if row.target is None:
        return ""
    asked = f"{row.target.most:g}{f' {row.unit}' if row.target.against is None else 'x'}"
    return f"[green]met, {asked}[/]" if row.is_met else f"[red]missed, {asked}[/]"


def _as_json(row: Row) -> dict[str, Any]:
    return asdict(row) | {"target_met": row.is_met}
