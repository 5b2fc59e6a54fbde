"""Prints the tables of docs/communication.md: ``python -m tests.long.communication [STUDY...]``.

Without a name, the bytes and every study of ``STUDIES``: some minutes on one core.
"""

import sys

from tests.long.communication.forms import FORMS, measured
from tests.long.communication.utility import STUDIES, hospitals_of, reached

#: Parameters and hospitals of networks whose bytes are measured: shipped studies' among them.
SIZES = ((14, 4), (2033, 4), (52_314, 4), (177_658, 3), (1_000_000, 4))

if __name__ == "__main__":
    for parameters, sites in () if sys.argv[1:] else SIZES:
        before = 0
        for form, communication in FORMS.items():
            up, down = measured(parameters, sites, communication)
            before = before or up + down
            print(
                f"| {parameters:,} | {sites} | {form} | {up:,} | {down:,} | "
                f"{before / (up + down):.2f} |",
                flush=True,
            )
    for name in sys.argv[1:] or STUDIES:
        shipped = STUDIES[name]
        hospitals = hospitals_of(name)
        told = [f"{reached(name, hospitals, form, shipped.seeds):.4f}" for form in FORMS]
        print(f"| {name} | {shipped.figure} | {shipped.seeds} | {' | '.join(told)} |", flush=True)
