"""``python -m tests.bench --out DIR [--quick] [--only AREA]``: measures, prints, writes JSON."""

import argparse
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.console import Console
from threadpoolctl import threadpool_limits

from tests.bench import (
    audit_log,
    dashboard,
    gradients,
    memory,
    noise,
    secure_sum,
    simulation,
    site_check,
    step_time,
    tables,
    weights,
    whole_round,
)
from tests.bench.measurement import Row
from tests.bench.report import machine, print_table, write_report
from tests.support.large_store.store import StoreSize

#: Those that start processes, which takes long.
_LONG = ("simulation", "memory", "tables", "site-check", "log", "dashboard", "weights")
_AREAS = ("secure-sum", "noise", "gradients", "step-time", "round", *_LONG)


def measured(areas: list[str], *, quick: bool) -> Iterator[Row]:
    """Yields the rows of the areas, the short or the full form."""
    turns = 5 if quick else 15
    if "simulation" in areas:
        yield from simulation.rows(jobs=1 if quick else 2)
    if "round" in areas:
        yield from whole_round.rows(jobs=2 if quick else 5, rounds=10)
    if "memory" in areas:
        yield from memory.rows()
    if "tables" in areas:
        yield from tables.rows(min(turns, 7))
    if "site-check" in areas:
        yield from site_check.rows()
    if "log" in areas:
        yield from audit_log.rows(10**5 if quick else 10**6)
    if "dashboard" in areas:
        yield from dashboard.rows(dashboard.SHORT if quick else StoreSize())
    if "weights" in areas:
        yield from weights.rows(3 if quick else 7)
    if "gradients" in areas:
        yield from gradients.rows(turns)
    if "step-time" in areas:
        yield from step_time.rows(100 if quick else 400)
    if "noise" in areas:
        yield from noise.rows(turns)
    if "secure-sum" in areas:
        dims = (10**5, 10**6) if quick else (10**5, 10**6, 7 * 10**6)
        counts = (4, 32) if quick else (4, 8, 16, 32)
        yield from secure_sum.rows(dims, counts, turns)
        yield secure_sum.hundred_sites()


def _usual(quick: bool) -> list[str]:
    """Returns all areas; the short form leaves out what starts processes, which takes long."""
    return [area for area in _AREAS if not (quick and area in _LONG)]


def main() -> None:
    """Runs the benchmark as the command line asks."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("bench-out"))
    parser.add_argument("--quick", action="store_true", help="the short form: under a minute")
    parser.add_argument("--only", action="append", choices=_AREAS, help="one area; may be repeated")
    chosen = parser.parse_args()
    console = Console(stderr=True)
    if not console.is_terminal:
        console.width = 130
    warnings.filterwarnings("ignore", module="opacus|torch")
    torch.set_num_threads(1)
    console.print(f"Measuring on {machine()} ...", highlight=False)
    started, rows = time.perf_counter(), []
    with threadpool_limits(1):  # numpy's BLAS too: one thread, unless a row says otherwise
        for row in measured(chosen.only or _usual(chosen.quick), quick=chosen.quick):
            rows.append(row)
            console.print(f"  {row.area}: {row.what}, {row.case}", style="dim")
    seconds = time.perf_counter() - started
    print_table(rows, console)
    form = "quick" if chosen.quick else "full"
    path = write_report(rows, chosen.out, form=form, seconds=seconds)
    console.print(f"{len(rows)} rows in {seconds:.0f} s, written to {path}")


if __name__ == "__main__":
    main()
