"""The table of faults and outcomes, as ``docs/chaos.md`` shows it."""

from collections.abc import Sequence

from tests.long.chaos.run import Ended

_HEAD = """\
# Faults and what comes of them

Written by `make chaos`, which plays every fault below and judges what is left. Do not edit it:
run the command again. The seconds are those of the machine that ran it last.

The service, its TLS and its database are the real ones, and so are the hospitals' supervisors,
ledgers and signing records. Whoever is killed is a process of its own and gets `SIGKILL` at
the named point. Only the medicine is small: a regression by hand in place of torch, four
hospitals, two rounds and an evaluation. The line is a proxy of ours on loopback.

After each fault one judge reads the folders. What must hold, every time:

- The run has ended, and where it did not finish it says why. Nothing is left half open.
- The coordinator's log and every record in it verify, and the model is the one logged.
- Every hospital's ledger verifies and holds every head that the hospital ever signed.
- Every masked vector of which one byte reached the coordinator is SENT in the ledger of its
  hospital. No context is booked twice, no vector is paid twice, no plan is overrun.
- Every round is finished once at most.
- Where nobody dropped out, the model is that of a run without a fault, bit by bit (with the fixed
  noise of tests). A round that is begun again draws new noise unless its updates had left before.
- Every reservation is closed in the end, unless the hospital stays away.

`east` is the hospital that is struck. "Attempts given up" are rounds that were begun again.

A hospital that has restarted in the middle of a round sits that round out: its keys for the
round are in no file, by intention. It is in the next one.
"""

_FOOT = """\
## What is not in the table

- A hospital's system clock that is wrong by more than a certificate's life makes TLS itself refuse.
  The suite moves the clock that signs requests, not the machine's.
- Bytes on the line cannot be repeated or exchanged inside TLS; what is repeated and exchanged here
  are whole messages, at both ends of the line.
- A full disk is a limit on the size of every file that a process writes (hospital), or a write that
  fails with `ENOSPC` (coordinator).
"""


def document(ended: Sequence[Ended], seconds: float) -> str:
    """Returns the page: one table for each that is struck."""
    parts = [_HEAD]
    for whom in dict.fromkeys(found.fault.whom for found in ended):
        own = [found for found in ended if found.fault.whom == whom]
        parts.append(f"## {whom[0].upper()}{whom[1:]}\n")
        parts.append("| Fault | When | Outcome | Seconds |\n|---|---|---|---:|")
        parts += [_line(found) for found in own]
        parts.append("")
    parts.append(_FOOT)
    short = sum(found.fault.short for found in ended)
    parts.append(
        f"{len(ended)} faults, two at a time, in {seconds:.0f} s. {short} of them are played by "
        "every `make test` (`tests/long/chaos/test_chaos.py`).\n"
    )
    return "\n".join(parts)


def _line(found: Ended) -> str:
    fault = found.fault
    return f"| {fault.what} | {fault.when} | {found.outcome} | {found.seconds:.1f} |"
