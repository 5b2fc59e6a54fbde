"""A hospital's table: CSV to encoded records, beside pandas reading the same file as text.

The file is drawn: twenty columns, half of them not read, with patients who return. Memory is the
most that a new process held (``VmHWM``), the imports of either included.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas

from pipelines.cohort.loading import load_cohort
from protocol.study.cohort.cohort import TableCohort
from tests.bench.measurement import OURS, Row, Target, row_of, take_turns

AREA = "tables"
ROWS, MANY = 50_000, 500_000
PANDAS = "pandas.read_csv"

_NUMBERS = [{"name": f"n{n}", "kind": "number", "range": [0, 999]} for n in range(6)]
_CATEGORIES = [{"name": f"c{n}", "kind": "category", "values": list("abcdefgh")} for n in range(3)]
_COHORT = TableCohort.model_validate(
    {
        "kind": "table",
        "patient_key": "patient",
        "label": {"column": "ill", "positive": ["yes"], "negative": ["no"]},
        "columns": [
            *_NUMBERS,
            *_CATEGORIES,
            {"name": "patient", "kind": "other"},
            {"name": "ill", "kind": "other"},
        ],
    }
)


def rows(turns: int) -> Iterator[Row]:
    """Yields the row of time, in milliseconds, and that of memory, in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "stays.csv"
        write(file, ROWS)
        works = {OURS: lambda: _ours(file), PANDAS: lambda: _pandas(file)}
        yield row_of(
            AREA,
            "CSV to encoded records",
            f"{ROWS:,} rows of 20 columns, 11 of them needed",
            take_turns(works, turns),
            target=Target(most=6, against=PANDAS),
        )
        write(file, MANY)
        yield row_of(
            AREA,
            "peak resident memory, CSV to encoded records",
            f"{MANY:,} rows of 20 columns, 11 of them needed",
            {name: [_peak(name, file)] for name in works},
            target=Target(most=2, against=PANDAS),
            unit="MiB",
            clock="VmHWM",
        )


def _ours(file: Path) -> object:
    return load_cohort(_COHORT, file, site="east")


def _pandas(file: Path) -> object:
    return pandas.read_csv(file, dtype=str, keep_default_na=False)


def write(file: Path, count: int) -> None:
    """Writes a table of so many rows."""
    random = np.random.default_rng(0)
    names = [column.name for column in _COHORT.columns] + [f"spare{n}" for n in range(9)]
    with file.open("w") as text:
        text.write(",".join(names) + "\n")
        for begin in range(0, count, 10_000):
            numbers = random.integers(0, 1000, (10_000, 15))
            letters = random.integers(0, 8, (10_000, 3))
            patients = random.integers(0, count // 2 + 1, 10_000)
            text.writelines(
                ",".join(
                    [*map(str, n[:6]), *("abcdefgh"[k] for k in c), f"p{p}",
                     "yes" if p % 9 else "no", *map(str, n[6:])]
                ) + "\n"
                for n, c, p in zip(
                    numbers[: count - begin].tolist(), letters.tolist(), patients.tolist(),
                    strict=False,
                )
            )  # fmt: skip


def _peak(name: str, file: Path) -> float:
    command = [sys.executable, "-m", "tests.bench.tables", name, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def _held() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    (_ours if sys.argv[1] == OURS else _pandas)(Path(sys.argv[2]))
    print(json.dumps(_held()))
