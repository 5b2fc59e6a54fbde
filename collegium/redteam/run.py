"""Red-teams a run that was made: what its hospitals signed, and what it left behind.

The log and every record are verified first: what is attacked is what was
signed. The findings are kept with the run, their digest in the log; a run that
they contradict is marked failed in the same transaction.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from sqlalchemy.orm import Session

from collegium.output.folder_page import finish_folder
from collegium.redteam.adversary import Claim
from collegium.redteam.attack import red_team
from collegium.redteam.findings import Findings, PastRun, Target
from collegium.redteam.harness import AttackRandomness, MakeTrainer
from collegium.redteam.records.drawn import drawn_hospitals
from collegium.redteam.records.together import Parts
from collegium.simulation.records import read_hospitals
from collegium.simulation.settings import SimulationSettings, record_files
from compliance.audit.log import NewEntry
from compliance.facts.dossier import RunManifest, printable
from compliance.privacy.accounting import epsilon
from compliance.privacy.empirical_audit.checks import check_masks, check_price
from coordinator.audit.run_checks import FINDINGS, failure_of
from coordinator.audit.verification import verify_records
from coordinator.database.round_archive import RoundArchive
from coordinator.database.store import RunRow, Store
from coordinator.database.workspace import Workspace
from coordinator.rounds.run_records import environment
from coordinator.views.one_run.dossiers import stored_manifest
from coordinator.views.one_run.rows import find_run, rounds_of, study_of
from coordinator.views.one_run.simulated import exact_figures
from protocol.encoding import digest
from protocol.errors import StudyRefused, WorkspaceRefused
from protocol.identity.roster import Roster, parse_roster
from protocol.secagg.transcript import vectors_of
from protocol.study.study import FileSplit, Study
from protocol.study.study_file import index_beside
from protocol.transport.privacy_summary import Summary, open_summary, read_summaries
from silos.training.trainer import Trainer


@dataclass(frozen=True, kw_only=True)
class Places:
    """The folders that a run's red team reads and writes.

    ``beside`` is the folder of the study document, ``to`` that of the page. ``stand_in`` has a run
    of real hospitals attacked by a training of its study on drawn records, which are nobody's.
    """

    out: Path
    data: Path | None = None
    beside: Path | None = None
    to: Path | None = None
    stand_in: bool = False


def red_team_run(
    run: str,
    places: Places,
    console: Console,
    make: MakeTrainer = Trainer,
    randomness: AttackRandomness | None = None,
) -> Findings:
    """Attacks a run, keeps what was found with it, and marks it failed if it is contradicted.

    Raises:
        WorkspaceRefused: there is no such run, nothing of it can be attacked, or the records or the
            split's file are not those that it read.
        StudyRefused: it claims nothing, or its split's index file is not at hand.
        StoreBroken: the run's records are not what was logged.
    """
    workspace = Workspace.open(places.out)
    store = Store(workspace.database)
    try:
        with store.read() as session:
            verify_records(session, workspace.public_key())
            row = find_run(session, run)
            target = _target(session, workspace, row, stand_in=places.stand_in)
            counts = exact_figures(row).get("sites", {})
            manifest = stored_manifest(session, row.id)
        run_id = _past(target).run_id
        console.print(f"run {run_id}: log, records and signatures are genuine", markup=False)
        randomness = randomness or AttackRandomness()
        if target.stand_in:
            hospitals = drawn_hospitals(target.study, randomness.random)
        else:
            index = _index_file(target.study, places)
            SimulationSettings(data=places.data).require_sources(target.study)
            _require_same_files(manifest, target.study, index, places.data)
            hospitals = read_hospitals(target.study, index, places.data)
            _require_same_records(hospitals, counts)
        to = places.to or places.out / "redteam" / run_id
        findings = red_team(target, hospitals, to, console, make, randomness)
        record_findings(store, workspace, findings)
    finally:
        store.close()
    if findings.contradicted:
        finish_folder(workspace, run_id)
        console.print(f"run {run_id} is marked failed", style="red", markup=False)
    return findings


def record_findings(store: Store, workspace: Workspace, findings: Findings) -> None:
    """Keeps the findings with their run and their digest in the log, in one transaction.

    A run that is contradicted is marked failed; nothing found later makes it good again.
    """
    run_id = _past(findings.target).run_id
    with store.transaction() as transaction:
        found, record = transaction.release(run_id, FINDINGS, findings.to_json())
        entries = [NewEntry(type=FINDINGS, run_id=run_id, payload=found, record=record)]
        if findings.contradicted:
            row = transaction.run(run_id)
            row.state, row.failure = "failed", failure_of(findings.reasons)
            record = transaction.write(row)
            failed = NewEntry(type="run-failed", run_id=run_id, payload=found, record=record)
            entries.append(failed)
        transaction.log(entries, workspace.signing_key())


def _target(session: Session, workspace: Workspace, row: RunRow, *, stand_in: bool) -> Target:
    if not row.simulation and not stand_in:
        raise WorkspaceRefused(
            f"run {row.id} was made by real hospitals: an attack on their records is a release. "
            "--stand-in attacks a training of its study on drawn records; each hospital checks the "
            "model on its own records, for itself alone: collegium silo leak-check"
        )
    if row.simulation and stand_in:
        raise WorkspaceRefused(
            f"--stand-in: run {row.id} is a simulation, whose own model is attacked: leave it out"
        )
    if row.model_digest is None:
        raise WorkspaceRefused(f"run {row.id} is {row.state}: only a finished run is attacked")
    study = study_of(session, row)
    roster = parse_roster(row.roster_json.encode())
    summaries = {
        site: open_summary(signed, roster.key_of(site))
        for site, signed in read_summaries(row.sites_json).items()
    }
    claims = _claims(study, summaries, row.id)
    prices = {site: epsilon(claim.event, claim.delta) for site, claim in claims.items()}
    signed = {site: claim.epsilon for site, claim in claims.items()}
    checks = [check_price(signed, prices)] if claims else []
    pairs = _masked_pairs(session, workspace, row, roster)
    if pairs:
        checks.append(check_masks(pairs))
    past = PastRun(
        run_id=row.id,
        model=workspace.read_snapshot(row.model_digest),
        checks=tuple(checks),
        not_checked=() if pairs else ("masks: fewer than two rounds are kept",),
        other_software=_other_software(json.loads(row.environment_json)),
    )
    if stand_in and not claims:
        raise StudyRefused(f"run {row.id} claims no privacy: a run of real hospitals must")
    return Target(study=study, claims=claims, run=past, stand_in=stand_in)


def _claims(study: Study, summaries: Mapping[str, Summary], run_id: str) -> dict[str, Claim]:
    """Returns what every hospital claims; nothing where none does.

    Raises:
        StudyRefused: the run's noise is a test's, or some claim what others do not.
    """
    if all(summary.noise == "none" for summary in summaries.values()):
        return {}
    claims = {site: Claim.signed(study, summary) for site, summary in summaries.items()}
    for site, summary in summaries.items():
        if claims[site] is None or summary.noise != "exact":
            raise StudyRefused(
                f"run {run_id} claims no privacy ({site} signed noise: {summary.noise}): there is "
                "nothing to contradict"
            )
    return {site: claim for site, claim in claims.items() if claim is not None}


def _masked_pairs(
    session: Session, workspace: Workspace, row: RunRow, roster: Roster
) -> list[tuple[NDArray[np.uint32], NDArray[np.uint32]]]:
    """Returns the beginnings of every two masked vectors that one hospital sent."""
    archive = RoundArchive(workspace.rounds)
    rows = rounds_of(session, row.id)
    sent: dict[str, list[NDArray[np.uint32]]] = {}
    for context in [kept.context for kept in rows if archive.holds(kept.context)]:
        transcript = archive.transcript(context)
        named = vectors_of(transcript, roster) if transcript else {}
        for site, name in named.items():
            ring_elements = np.frombuffer(archive.vector(context, name), dtype="<u4")
            sent.setdefault(site, []).append(ring_elements.astype(np.uint32))
    return [
        (first[: len(second)], second[: len(first)])
        for vectors in sent.values()
        for first, second in combinations(vectors, 2)
    ]


def _other_software(before: Mapping[str, str]) -> tuple[str, ...]:
    """Returns what the run was made with where something else is installed now."""
    installed = environment()
    names = [name for name in before if name in installed and before[name] != installed[name]]
    return tuple(f"{name} {before[name]}" for name in names if not name.startswith("torch in"))


def _index_file(study: Study, places: Places) -> bytes | None:
    if isinstance(study.split, FileSplit) and places.beside is None:
        raise StudyRefused(
            f"split.file: the run's split stands in {study.split.file}, which lies beside its "
            "study document: name that folder with --beside"
        )
    return index_beside(study, places.beside or places.out)


def _past(target: Target) -> PastRun:
    if target.run is None:
        raise ValueError("expected a run, not a study")
    return target.run


def _require_same_files(
    manifest: RunManifest | None, study: Study, index: bytes | None, data: Path | None
) -> None:
    """Refuses files of records, and a split, that are not those whose digests the run logged.

    Other records were not trained on: an attack on them finds nothing, whatever the model leaks.

    Args:
        manifest: of the run; None of one that an earlier version made, which names no files.
        study: of the run.
        index: the split's index file, where the study names one.
        data: the folder of the records.

    Raises:
        WorkspaceRefused: a file is another.
    """
    logged = {} if manifest is None else {one.name: one.digest for one in manifest.files}
    held = {} if data is None else {name: data / name for name in record_files(study)}
    for name, path in held.items():
        with path.open("rb") as file:
            found = file_digest(file, "sha256").hexdigest()
        if logged.get(printable(name), found) != found:
            raise WorkspaceRefused(
                f"--data: {name} is not the file that the run read: give the records that the run "
                "was made with"
            )
    if index is None or not isinstance(study.split, FileSplit):
        return
    if logged.get(printable(study.split.file), digest(index)) != digest(index):
        raise WorkspaceRefused(
            f"--beside: {study.split.file} is not the split that the run read: other patients were "
            "trained on; give the file that lay beside the run's study"
        )


def _require_same_records(
    hospitals: Mapping[str, Parts], counts: Mapping[str, Mapping[str, Any]]
) -> None:
    """Refuses records of which another number of patients would train than in the run."""
    for site, (train, _) in hospitals.items():
        before = counts.get(site, {}).get("train_patients", train.num_patients)
        if before != train.num_patients:
            raise WorkspaceRefused(
                f"--data: {site} has {train.num_patients} training patients, in the run it had "
                f"{before}: give the records that the run was made with"
            )
