"""The use of one patient's records: in which study, run and part, when, and which model came out.

It is for the hospital's own people and leaves nothing behind: neither the key nor the answer is
written anywhere. A run's step draws patients at random, and nobody records whom: what is known is
from which patients a run *could* draw, from when and until when.
"""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from compliance.governance.study_store import StudyStore
from compliance.ledger.entries import Entry, State
from protocol.errors import StudyRefused
from silos.config.directory import reading
from silos.database.database import SiteDatabase
from silos.database.joined_runs import JoinedRuns
from silos.database.run_decisions import evaluated_model
from silos.patients.cohort_list import Part
from silos.patients.entries import EntryKind, PatientEntries, PatientEntry
from silos.patients.frozen_cohorts import FrozenCohort, FrozenCohorts
from silos.patients.marks import PatientMarks


@dataclass(frozen=True, kw_only=True)
class PatientInRun:
    """A patient's part in one run.

    ``part`` is training, evaluation or both; ``left_at`` when the patient left the cohort, after
    which no step drew from its records. ``first_sent`` and ``last_sent`` are the times of what
    this hospital sent meanwhile, ``sent`` how often; ``model`` is the digest of the model that
    came out and was evaluated here, None where none was.
    """

    run_id: str
    study: str
    study_name: str | None
    cohort_version: int
    part: str
    joined_at: str
    left_at: str | None
    sent: int
    first_sent: str | None
    last_sent: str | None
    model: str | None


@dataclass(frozen=True, kw_only=True)
class PatientUse:
    """Everything that this hospital knows of one patient's use.

    ``frozen_for`` are studies (digests) whose cohort holds the patient, drawn from or not;
    ``not_known`` the runs of whose cohorts retention has removed the lists.
    """

    opted_out_at: str | None
    runs: tuple[PatientInRun, ...]
    frozen_for: tuple[str, ...]
    not_known: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns what machines read."""
        return asdict(self)


def use_of(home: Path, key: str) -> PatientUse:
    """Returns what a hospital did with one patient's records.

    Args:
        home: the hospital's folder.
        key: the patient's number, as in the column of patient numbers.

    Raises:
        SiteFileRefused, WorkspaceRefused, LedgerBroken: the hospital cannot be read.
        StoreBroken: the record of patients was changed.
    """
    with reading(home) as (_, hospital):
        marks = PatientMarks(hospital.split_key).of_key(key)
        cohorts, entries = FrozenCohorts(hospital), PatientEntries(hospital).all()
        parts: dict[int, Part | None] = {}
        unlisted, holding = set[int](), list[str]()
        frozen = {cohort.number: cohort for cohort in cohorts.all()}
        for number, cohort in frozen.items():
            listed = cohorts.kept(cohort)
            if listed is None:
                unlisted.add(number)
                continue
            parts[number] = listed.taken_in().part_of(marks)
            if parts[number]:
                holding.append(cohort.study)
        begun = [entry for entry in entries if entry.kind is EntryKind.RUN]
        found = []
        for entry in begun:
            part, leaving = parts.get(entry.said["cohort"]), _leaving(entries, entry, marks)
            if part and (leaving is None or leaving.number > entry.number):
                cohort = frozen[entry.said["cohort"]]
                found.append(_in_run(home, hospital, entry, cohort, part, leaving))
        return PatientUse(
            opted_out_at=_opted_out_at(entries, marks),
            runs=tuple(found),
            frozen_for=tuple(dict.fromkeys(holding)),
            not_known=tuple(e.said["run"] for e in begun if e.said["cohort"] in unlisted),
        )


def _in_run(
    home: Path,
    hospital: SiteDatabase,
    entry: PatientEntry,
    cohort: FrozenCohort,
    part: Part,
    leaving: PatientEntry | None,
) -> PatientInRun:
    run_id = entry.said["run"]
    with hospital.session() as session:
        model = evaluated_model(session, run_id)
    run = JoinedRuns(hospital).of(run_id)
    sent = [one.created_at for one in _sent(hospital, run_id, part)]
    if leaving is not None:
        sent = [at for at in sent if at <= leaving.at]
    return PatientInRun(
        run_id=run_id,
        study=cohort.study,
        study_name=_name(home, cohort.study),
        cohort_version=cohort.version,
        part=part.words,
        joined_at=run.joined_at if run else entry.at,
        left_at=leaving.at if leaving else None,
        sent=len(sent),
        first_sent=min(sent, default=None),
        last_sent=max(sent, default=None),
        model=model,
    )


def _sent(hospital: SiteDatabase, run_id: str, part: Part) -> list[Entry]:
    """Returns the ledger's entries of what was sent of a part's patients in a run."""
    kinds = {"training": Part.TRAINING, "evaluation": Part.EVALUATION}
    with hospital.transaction() as chain:
        entries = [entry for entry in chain.entries() if entry.run == run_id]
    return [
        entry
        for entry in entries
        if entry.state is State.SENT and kinds.get(entry.round_kind, part) & part
    ]


def _leaving(
    entries: Collection[PatientEntry], run: PatientEntry, marks: Collection[bytes]
) -> PatientEntry | None:
    """Returns the entry by which a patient left the cohort of a run; None where it did not."""
    hexed = {mark.hex() for mark in marks}
    left = (
        entry
        for entry in entries
        if entry.kind is EntryKind.LEFT and entry.said["cohort"] == run.said["cohort"]
    )
    return next((entry for entry in left if hexed & set(entry.said["marks"])), None)


def _opted_out_at(entries: Collection[PatientEntry], marks: Collection[bytes]) -> str | None:
    hexed = {mark.hex() for mark in marks}
    out = (entry for entry in entries if entry.kind is EntryKind.OPTED_OUT)
    return next((entry.at for entry in out if hexed & set(entry.said["marks"])), None)


def _name(home: Path, study: str) -> str | None:
    try:
        return StudyStore(home / "studies").read(study)[0].name
    except StudyRefused:  # frozen for and never approved
        return None
