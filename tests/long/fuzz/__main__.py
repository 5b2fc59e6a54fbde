"""The command: ``python -m tests.long.fuzz --inputs N --seed S [--only NAME] [--number K]``."""

import argparse
import sys
import warnings
from collections.abc import Iterable, Iterator

from tests.long.fuzz.engine import Report, Target, fuzz
from tests.long.fuzz.findings import passed_over
from tests.long.fuzz.targets.every import TARGETS

#: Inputs between two lines of progress, at most.
_STRETCH = 50_000


def shares(targets: Iterable[Target], inputs: int) -> dict[str, int]:
    """Returns how many of the inputs each target gets: at least one, by weight."""
    chosen = list(targets)
    whole = sum(target.weight for target in chosen)
    return {target.name: -(-inputs * target.weight // whole) for target in chosen}


def _stretches(target: Target, seed: int, numbers: range) -> Iterator[tuple[Report, int]]:
    """Yields reports of what is new, and how many known findings each had besides."""
    for start in range(0, len(numbers), _STRETCH):
        report = fuzz(target, seed, numbers[start : start + _STRETCH])
        one = len(numbers) == 1  # somebody repeats an input: show what it does
        new = [finding for finding in report.findings if one or not passed_over(finding)]
        known = len(report.findings) - len(new)
        print(
            f"{target.name:22} {start + report.inputs:9,} inputs, {report.accepted:7,} taken, "
            f"{report.inputs / report.seconds:7,.0f}/s, {len(new)} new findings, {known} known",
            file=sys.stderr,
            flush=True,
        )
        report.findings = new
        yield report, known


def main() -> int:
    """Fuzzes as the command line asks; returns 1 when something new was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.long.fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="in all targets together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=[target.name for target in TARGETS])
    parser.add_argument("--number", type=int, help="only this input of each target: repeats it")
    asked = parser.parse_args()
    warnings.simplefilter("error")
    chosen = [target for target in TARGETS if not asked.only or target.name in asked.only]
    counts = shares(chosen, asked.inputs)
    done, seconds, found = 0, 0.0, 0
    for target in chosen:
        numbers = range(counts[target.name])
        if asked.number is not None:
            numbers = range(asked.number, asked.number + 1)
        for report, known in _stretches(target, asked.seed, numbers):
            done, seconds = done + report.inputs + known, seconds + report.seconds
            found += len(report.findings)
            for finding in report.findings:
                print(finding, flush=True)
    print(f"{done:,} inputs in {seconds:,.0f} s, {found} new findings", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
