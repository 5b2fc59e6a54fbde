"""A report of a run with 50,000 entries of the log: seconds and peak memory of every format.

``python -m tests.bench.long_report`` prints the table, in about a minute; each figure is of a
process of its own that makes the report from facts in memory and draws it.
"""

import json
import resource
import subprocess
import sys
import time
from dataclasses import replace

from compliance.facts.dossier import EntryFacts
from compliance.reports.evidence import ReportSubject
from compliance.reports.kinds import KINDS
from compliance.reports.renderers import FORMS, rendered
from tests.support.simulated import dossiers
from tests.support.simulated.reports import subject_of

ENTRIES, OF_A_ROUND = 50_000, 10
_TYPES = (
    "round-opened", "survivors", "masked-blobs", "ledger-heads", "transcript", "sum", "result",
    "masked", "masked", "masked",
)  # fmt: skip
_KINDS = ("privacy-statement", "study-dossier", "security-log")


def subject(entries: int = ENTRIES) -> ReportSubject:
    """Returns a run with so many entries, ten of each round."""
    rounds = entries // OF_A_ROUND
    dossier = replace(
        dossiers.finished(),
        rounds=tuple(dossiers.round_facts(number) for number in range(rounds)),
        rounds_planned=rounds,
    )
    small = subject_of(dossier)
    first = small.facts.log.entries
    more = tuple(
        EntryFacts(
            index=len(first) + number,
            time=f"2026-11-21T{10 + number // 36000:02}:{number // 600 % 60:02}:00.000Z",
            type=_TYPES[number % OF_A_ROUND],
            payload=dossiers.digest(f"payload {number}"),
            leaf_hash=dossiers.digest(f"leaf {number}"),
            run=dossier.run_id,
            round=number // OF_A_ROUND,
        )
        for number in range(entries - len(first))
    )
    log = replace(small.facts.log, entries=(*first, *more), size=entries)
    return replace(small, facts=replace(small.facts, log=log))


def _measure(kind: str, form: str) -> None:
    """Prints seconds, bytes and MiB of one report."""
    given = subject()
    started = time.perf_counter()
    size = len(rendered(KINDS[kind].make(given), form))
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"seconds": seconds, "bytes": size, "mib": peak}))


def main() -> None:
    """Prints the table, or, given a kind and a format, one measurement."""
    if sys.argv[1:]:
        _measure(*sys.argv[1:3])
        return
    sys.stdout.write(f"{'report':20} {'format':7} {'s':>6} {'MB':>6} {'peak MiB':>9}\n")
    for kind in _KINDS:
        for form in FORMS:
            command = [sys.executable, "-m", "tests.bench.long_report", kind, form]
            done = subprocess.run(command, capture_output=True, check=True)
            found = json.loads(done.stdout)
            sys.stdout.write(
                f"{kind:20} {form:7} {found['seconds']:6.1f} {found['bytes'] / 1e6:6.1f} "
                f"{found['mib']:9.0f}\n"
            )


if __name__ == "__main__":
    main()
