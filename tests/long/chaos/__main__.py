"""``make chaos``: every fault; what came of each is written as a table.

    python -m tests.long.chaos [--to docs/chaos.md] [--only WORDS] [--jobs 2]

Ends with 1 when anything does not hold that must; the table is not written then.
"""

import argparse
import sys
import time
from pathlib import Path

from tests.long.chaos.faults.every import FAULTS
from tests.long.chaos.parallel import played
from tests.long.chaos.run import Ended
from tests.long.chaos.table import document


def main() -> int:
    """Runs what was asked for; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.long.chaos", description=__doc__)
    parser.add_argument("--to", type=Path, help="where the table is written")
    parser.add_argument("--only", default="", help="faults whose name holds these words")
    parser.add_argument("--jobs", type=int, default=2, help="how many are played at a time")
    asked = parser.parse_args()
    places = [place for place, fault in enumerate(FAULTS) if asked.only in fault.name]
    begun = time.monotonic()
    ended: dict[int, Ended] = {}
    for place, found in played(places, min(asked.jobs, len(places))):
        ended[place] = found
        _tell(found)
    seconds = time.monotonic() - begun
    failed = [found for found in ended.values() if found.problems]
    sys.stdout.write(f"{len(ended)} faults in {seconds:.0f} s, {len(failed)} do not hold\n")
    if asked.to is not None and not failed:
        in_order = [ended[place] for place in sorted(ended)]
        asked.to.write_text(document(in_order, seconds), encoding="utf-8")
    return bool(failed)


def _tell(found: Ended) -> None:
    state = "holds" if not found.problems else "FAILS"
    sys.stdout.write(f"{state}  {found.seconds:5.1f} s  {found.fault.name}: {found.outcome}\n")
    for problem in found.problems:
        sys.stdout.write(f"       {problem}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
