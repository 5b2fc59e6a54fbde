"""Opt-outs: patients whose records this hospital uses no more, in any study.

They are kept for good, by marks (``marks.py``), in the signed record of patients.
"""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pipelines.records import patient_token
from protocol.counted import counted
from protocol.errors import PolicyRefused, WorkspaceRefused
from silos.config.directory import opened
from silos.config.site_file import SiteFile
from silos.database.database import SiteDatabase
from silos.database.joined_runs import JoinedRuns
from silos.patients.entries import EntryKind, PatientEntries, PatientEntry
from silos.patients.frozen_cohorts import FrozenCohorts
from silos.patients.marks import PatientMarks, as_marks

#: The longest name of a person who decides.
MAX_NAME = 200
_MAX_KEY, _MAX_REASON = 200, 2000
_DELIMITER = re.compile("[;,\t]")
#: What a column of keys is called, beside the names of the site file.
_HEADER_WORDS = frozenset(
    {"patient", "patients", "patientkey", "patientnumber", "patientid", "personid", "key", "keys"}
)


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
    return _keys([*given, *read_key_lines(file).values()])


def read_key_lines(file: Path | None) -> dict[int, str]:
    """Returns the lines of a file of keys by their numbers, from 1; ``-`` is stdin.

    Raises:
        WorkspaceRefused: it cannot be read.
    """
    if file is None:
        return {}
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise WorkspaceRefused(f"the file of keys cannot be read: {reason}") from error
    return dict(enumerate(text.splitlines(), start=1))


def _keys(lines: Iterable[str]) -> list[str]:
    keys = [key for line in lines if (key := line.strip())]
    if not keys:
        raise WorkspaceRefused("no patient's key was given: as an argument, or a line of --file")
    if any(len(key) > _MAX_KEY for key in keys):
        raise WorkspaceRefused(f"a patient's key has at most {_MAX_KEY} letters")
    return keys


def opt_out(
    home: Path,
    keys: Sequence[str],
    *,
    by: str,
    reason: str = "",
    lines: Mapping[int, str] = MappingProxyType({}),
) -> OptedOut:
    """Records that patients opted out; a running hospital draws them no more from its next step.

    Args:
        home: the hospital's folder.
        keys: patients' keys, each as a person wrote it.
        by: who decides.
        reason: why.
        lines: further keys, by their lines in a file: one that seems to be a header, or to hold
            more than a key, is refused unless a frozen cohort knows it.

    Raises:
        PolicyRefused: nobody is named who decides.
        WorkspaceRefused, StoreBroken: no key was given, or a line is none; the hospital cannot be
            opened, or not written to. Nothing is recorded.
    """
    name, why = by.strip(), reason.strip()
    if not 0 < len(name) <= MAX_NAME or len(why) > _MAX_REASON:
        raise PolicyRefused(
            f"name who decides, in at most {MAX_NAME} letters; a reason has at most {_MAX_REASON}"
        )
    found = _keys([*keys, *lines.values()])
    with opened(home) as (site, hospital):
        _require_keys(hospital, site, lines)
        return opt_out_of(hospital, found, by=name, reason=why)


def _require_keys(hospital: SiteDatabase, site: SiteFile, lines: Mapping[int, str]) -> None:
    """Refuses lines of a file that are no keys: opt-outs are for good, and these out nobody."""
    written = {number: key for number, line in lines.items() if (key := line.strip())}
    cells = [number for number, key in written.items() if _DELIMITER.search(key)]
    first = next(iter(written), 0)
    columns = {*site.policy.columns, site.stated.patient_number or ""}
    words = _HEADER_WORDS | {_word(name) for name in columns}
    is_header = first > 0 and first not in cells and _word(written[first]) in words
    doubtful = [first] * is_header + cells
    wrong = doubtful and [n for n in doubtful if not _is_known(hospital, written[n])]
    if not wrong:
        return
    if is_header and first in wrong:
        raise WorkspaceRefused(
            f"the file of keys, line {first}: this is a column's name and no key: take the line "
            "out; where a patient's key is so, give it as an argument; nothing was recorded"
        )
    more = f" (and {counted(len(wrong) - 1, 'more line')})" if len(wrong) > 1 else ""
    raise WorkspaceRefused(
        f"the file of keys, line {wrong[0]}{more}: a semicolon, comma or tab stands there, and a "
        "line holds one key and no other cell: leave the key alone; where a patient's key holds "
        "such a mark, give it as an argument; nothing was recorded"
    )


def _is_known(hospital: SiteDatabase, key: str) -> bool:
    """Whether a frozen cohort that is kept here has a patient of this key."""
    marks, cohorts = PatientMarks(hospital.split_key).of_key(key), FrozenCohorts(hospital)
    lists = (cohorts.kept(cohort) for cohort in cohorts.all())
    return any(kept is not None and kept.part_of(marks) is not None for kept in lists)


def _word(name: str) -> str:
    """Returns a word as it is compared with others: without case, quotes, blanks and dashes."""
    return re.sub(r"[\W_]+", "", name.casefold())


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
