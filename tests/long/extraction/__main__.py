"""``python -m tests.long.extraction [--series 300]``: prints the figures of docs/inference.md."""

import argparse
import json
import sys

import torch

from tests.long.extraction.measured import attack, figures, wrong_alarms
from tests.long.extraction.series import ATTACKS
from tests.long.extraction.targets import targets

#: The newest records of a caller that the watch remembers.
_WINDOW = 256


def main() -> int:
    """Measures all of it; one line of JSON for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--series", type=int, default=300)
    parser.add_argument("--seed", type=int, default=11, help="another than the rules were set by")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    for target in targets():
        found = wrong_alarms(target, chosen.series, _WINDOW, chosen.seed)
        sys.stdout.write(json.dumps(figures(found)) + "\n")
        for name in ATTACKS:
            sys.stdout.write(json.dumps(figures(attack(target, name, chosen.seed))) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
