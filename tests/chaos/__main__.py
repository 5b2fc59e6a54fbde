"""``make chaos``: every fault, one after another; what came of each is written as a table.

    python -m tests.chaos [--to docs/chaos.md] [--only WORDS]

Ends with 1 when anything does not hold that must.
"""

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.faults import FAULTS
from tests.chaos.run import Consortia, Ended
from tests.chaos.table import document


def main() -> int:
    """Runs what was asked for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--to", type=Path, help="where the table is written")
    parser.add_argument("--only", default="", help="faults whose name holds these words")
    asked = parser.parse_args()
    logging.disable()  # every fault would tell its story at length; the table tells it
    chosen = [fault for fault in FAULTS if asked.only in fault.name]
    ended: list[Ended] = []
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        consortia = Consortia(Path(folder))
        for place, fault in enumerate(chosen):
            found = consortia.strike(fault, Path(folder) / f"fault-{place}")
            ended.append(found)
            state = "holds" if not found.problems else "FAILS"
            sys.stdout.write(f"{state}  {found.seconds:5.1f} s  {fault.name}: {found.outcome}\n")
            for problem in found.problems:
                sys.stdout.write(f"       {problem}\n")
            sys.stdout.flush()
    seconds = time.monotonic() - begun
    failed = [found for found in ended if found.problems]
    sys.stdout.write(f"{len(ended)} faults in {seconds:.0f} s, {len(failed)} do not hold\n")
    if asked.to is not None and not failed:
        asked.to.write_text(document(ended, seconds), encoding="utf-8")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
