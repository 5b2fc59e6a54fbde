"""Opt-outs: patients whose records this hospital uses no more, in any study.

They are kept for good, by marks (``marks.py``), in the signed record of patients.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.records import patient_token
from protocol.errors import PolicyRefused, WorkspaceRefused
from silos.config.directory import opened
from silos.database.database import SiteDatabase
from silos.database.joined_runs import JoinedRuns
from silos.patients.entries import EntryKind, PatientEntries, PatientEntry
from silos.patients.frozen_cohorts import FrozenCohorts
from silos.patients.marks import PatientMarks, as_marks

#: The longest name of a person who decides.
MAX_NAME = 200
_MAX_KEY, _MAX_REASON = 200, 2000


@dataclass(frozen=True, kw_only=True)
class OptedOut:
    """The result of an opt-out.

    ``patients`` is how many keys were given, ``new`` how many of them had not opted out before,
    ``unknown`` how many stand in no cohort that is kept here. ``open_runs`` are those that will
    draw them no more, ``past_runs`` those that drew from a cohort with one of them: their
    models stay as they are.
    """

    patients: int
    new: int
    unknown: int
    open_runs: tuple[str, ...]
    past_runs: tuple[str, ...]
    at: str


def opted_out(entries: Iterable[PatientEntry]) -> frozenset[bytes]:
    """Returns the marks of everybody who opted out in these entries."""
    said = (entry.said for entry in entries if entry.kind is EntryKind.OPTED_OUT)
    return frozenset(bytes.fromhex(mark) for each in said for mark in each["marks"])


def read_keys(given: Sequence[str], file: Path | None) -> list[str]:
    """Returns patients' keys from arguments, and from a file with one a line; ``-`` is stdin.

    Raises:
        WorkspaceRefused: the file cannot be read, or there is no key.
    """
    lines = list(given)
    if file is not None:
        try:
            text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
            raise WorkspaceRefused(f"the file of keys cannot be read: {reason}") from error
        lines += text.splitlines()
    keys = [key for line in lines if (key := line.strip())]
    if not keys:
        raise WorkspaceRefused("no patient's key was given: as an argument, or a line of --file")
    if any(len(key) > _MAX_KEY for key in keys):
        raise WorkspaceRefused(f"a patient's key has at most {_MAX_KEY} letters")
    return keys


def opt_out(home: Path, keys: Sequence[str], *, by: str, reason: str = "") -> OptedOut:
    """Records that patients opted out; a running hospital draws them no more from its next step.

    Raises:
        PolicyRefused: nobody is named who decides.
        WorkspaceRefused, StoreBroken: the hospital cannot be opened, or not written to.
    """
    name, why = by.strip(), reason.strip()
    if not 0 < len(name) <= MAX_NAME or len(why) > _MAX_REASON:
        raise PolicyRefused(
            f"name who decides, in at most {MAX_NAME} letters; a reason has at most {_MAX_REASON}"
        )
    with opened(home) as (_, hospital):
        return opt_out_of(hospital, keys, by=name, reason=why)


def opt_out_of(
    hospital: SiteDatabase, keys: Sequence[str], *, by: str, reason: str = ""
) -> OptedOut:
    """Records opt-outs in an open hospital; see ``opt_out``."""
    marks, entries = PatientMarks(hospital.split_key), PatientEntries(hospital)
    known, cohorts = opted_out(entries.all()), FrozenCohorts(hospital)
    of_each = [marks.of_key(key) for key in {patient_token(key) for key in keys}]
    new = [each for each in of_each if not each <= known]
    at = hospital.now()
    if new:
        said = {
            "marks": sorted({m.hex() for each in new for m in each}),
            "by": by,
            "reason": reason,
        }
        at = entries.append(EntryKind.OPTED_OUT, said).at
    holding, seen = set[int](), set[int]()
    for cohort in cohorts.all():
        kept = cohorts.kept(cohort)
        if kept is None:
            continue
        here = {place for place, each in enumerate(of_each) if kept.taken_in().part_of(each)}
        seen |= here
        if here:
            holding.add(cohort.number)
            out = frozenset(mark for each in of_each for mark in each)
            cohorts.record_left(cohort, kept, as_marks(out))
    drew = {run for run, cohort in cohorts.runs().items() if cohort in holding}
    running = {run.run_id for run in JoinedRuns(hospital).open()}
    return OptedOut(
        patients=len(of_each),
        new=len(new),
        unknown=len(of_each) - len(seen),
        open_runs=tuple(sorted(drew & running)),
        past_runs=tuple(sorted(drew - running)),
        at=at,
    )
