"""``python -m tests.bench.dashboard_store FOLDER``: a store for the dashboard's measurements.

500 runs with 100 rounds each of twelve hospitals, and a log of a million entries, by default.
"""

import argparse
import sys
import time
from dataclasses import fields
from pathlib import Path

from tests.support.large_store.store import StoreSize, make_large_store


def main() -> None:
    """Makes the folder that the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.dashboard_store")
    parser.add_argument("folder", type=Path)
    for one in fields(StoreSize):
        parser.add_argument(f"--{one.name}", type=int, default=one.default)
    given = vars(parser.parse_args())
    folder, began = given.pop("folder"), time.perf_counter()
    made = make_large_store(folder, StoreSize(**given))
    seconds = time.perf_counter() - began
    sys.stdout.write(f"{made}: {given['runs']} runs, made in {seconds:.0f} s\n")


if __name__ == "__main__":
    main()
