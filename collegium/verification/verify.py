"""Verifies an output folder: log, records, files and hospitals; recomputes a round's sum.

Nothing is written, neither into the folder nor beside it: evidence may lie on a
medium that cannot be written.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from sqlalchemy import select
from sqlalchemy.orm import Session

from collegium.output.verdict import verdict
from collegium.verification.bundle.packing import BundleManifest
from collegium.verification.bundle.restoring import restored
from collegium.verification.hospital_checks import check_hospital, check_simulated, simulated_files
from collegium.verification.inputs import AuditInputs, check_checkpoint, read_key
from collegium.verification.proofs import told_seconds
from compliance.storage.clock import timestamp
from compliance.storage.schema_check import schema_faults
from compliance.storage.unnamed_files import named_text
from coordinator.audit.faults import AuditFault, Faults
from coordinator.audit.folder_checks import FilesFound, check_files
from coordinator.audit.recompute import Recomputed, name_of, recompute
from coordinator.audit.verification import Verified, check_records
from coordinator.database.round_archive import RoundArchive
from coordinator.database.store import MIGRATIONS, RunRow, Store
from coordinator.database.workspace import Workspace
from coordinator.membership.directory import is_coordinator
from coordinator.views.rows import find_run, newest_run, study_of
from protocol.counted import counted
from protocol.errors import MessageRefused, StoreBroken, WorkspaceRefused
from protocol.identity.roster import parse_roster
from protocol.log.cosignature import KeyType, site_cosigner
from silos.config.directory import read_own
from silos.config.folder import is_hospital
from silos.config.site_file import site_file_of

#: What people call the type of a cosigner's key: a witness outside has two under one name.
_KEY_TYPES = {
    KeyType.ED25519: "Ed25519",
    KeyType.ED25519_COSIGNER: "Ed25519",
    KeyType.ML_DSA_44_COSIGNER: "ML-DSA-44",
}


@dataclass(frozen=True, kw_only=True)
class _Looked:
    """All that was looked at."""

    records: Verified
    quorum: int
    files: FilesFound | None
    hospitals: tuple[str, ...]
    checkpoints: tuple[int, ...]
    report: str | None
    is_founding: bool


def verify(folder: Path, given: AuditInputs, console: Console) -> dict[str, Any]:
    """Checks a folder of runs, a hospital's own, or a bundle.

    See ``verify_folder``, ``own_folder`` and ``verify_bundle``.

    Raises:
        MessageRefused: something was given that a hospital's folder cannot be compared with.
        FederationError: as those two.
    """
    if is_hospital(folder):
        from collegium.verification import own_folder  # loads Ray, which a coordinator has not

        given.require_none(folder)
        return own_folder.verify_folder(folder, console)
    return (verify_bundle if folder.is_file() else verify_folder)(folder, given, console)


def require_sound(found: Mapping[str, Any], folder: Path, given: AuditInputs) -> None:
    """Refuses a folder in which a fault was found.

    Raises:
        StoreBroken: says how many, and what to do.
    """
    if not found["faults"]:
        return
    what = f"{folder}, or what was given to compare it with,"
    number = counted(len(found["faults"]), "fault")
    first = "Make sure that the key is this log's; then stop" if given.key else "Stop"
    raise StoreBroken(
        f"{number}: {folder if given.report is None else what} is not what was logged. {first}, "
        "and keep a copy"
    )


def verify_folder(out: Path, given: AuditInputs, console: Console) -> dict[str, Any]:
    """Checks all that can be checked without trusting the folder's author; says what was not.

    Args:
        out: the folder.
        given: what the auditor brings along.
        console: where people read what was found.

    A folder with a run at work changes while it is looked at: the log is read at one moment, the
    hospitals' databases at others. So what is found there is looked for again, and a fault is
    what both looks found. What only one did is ``unsettled``: it is neither verified nor a fault.

    Returns:
        What ``--json`` shows; ``verified`` is true when neither ``faults`` nor ``unsettled`` holds
        anything.

    Raises:
        WorkspaceRefused: there is no run in the folder, or no such file.
        MessageRefused: the key that was given is none.
        StoreBroken: the database cannot be read at all.
    """
    workspace = Workspace.open(out)
    public = workspace.public_key() if given.key is None else read_key(given.key)
    at_work = workspace.is_at_work
    looked, faults = _look(workspace, given, public)
    unsettled: list[AuditFault] = []
    if at_work and faults.found:
        before = faults.found
        looked, faults = _look(workspace, given, public)
        lasting = [fault for fault in faults.found if fault in before]
        unsettled = [fault for fault in (*before, *faults.found) if fault not in lasting]
        faults.found = lasting
    answer = _answer(looked, given, public, faults, unsettled)
    _tell(answer, looked, console)
    return answer


def verify_bundle(bundle: Path, given: AuditInputs, console: Console) -> dict[str, Any]:
    """Checks an evidence bundle as ``verify_folder`` checks the folder that it was made of.

    Returns:
        The same, with ``bundle``, the digest by which people name it.

    Raises:
        WorkspaceRefused: there is no such file, or no room to unpack it.
        MessageRefused: the key that was given is none, or the bundle of another version.
        StoreBroken: it is no bundle any more, or its records cannot be rows of one database.
    """
    with restored(bundle) as (workspace, manifest):
        public = workspace.public_key() if given.key is None else read_key(given.key)
        looked, faults = _look(workspace, given, public, manifest)
        answer = _answer(looked, given, public, faults, []) | {"bundle": manifest.digest}
    _tell(answer, looked, console)
    return answer


def _look(
    workspace: Workspace,
    given: AuditInputs,
    public: bytes,
    bundle: BundleManifest | None = None,
) -> tuple[_Looked, Faults]:
    """Looks at everything; in a bundle there is no hospital, and there may be no files."""
    faults = Faults()
    with closing(Store.for_reading(workspace.database)) as store, store.read() as session:
        with faults.checking("the schema of the database"):
            for fault in schema_faults(session.connection(), MIGRATIONS):
                faults.add(fault)
        records = check_records(session, public, faults, given.witnesses(public))
        quorum = _cosigned_by_quorum(session, records)
        files = None
        if bundle is None or bundle.scope == "all":
            files = check_files(
                session, workspace, public, records.entries, faults, simulated_files(workspace)
            )
    hospitals: tuple[str, ...] = ()
    if bundle is None:
        hospitals = check_simulated(workspace, records, public, faults)
    else:
        _check_manifest(bundle, records, public, faults)
        if files is not None and files.unnamed:
            faults.add(f"the bundle holds files that no record names: {named_text(files.unnamed)}")
    if given.hospital is not None:
        hospitals += (_check_own(given.hospital, records, public, faults),)
    looked = _Looked(
        records=records,
        quorum=quorum,
        files=files,
        hospitals=hospitals,
        checkpoints=tuple(
            check_checkpoint(path, records, public, faults) for path in given.checkpoints
        ),
        report=_check_report(given.report, workspace.root, public, records, faults),
        is_founding=is_coordinator(workspace.root) and not records.acts,
    )
    return looked, faults


def _check_manifest(
    bundle: BundleManifest, records: Verified, public: bytes, faults: Faults
) -> None:
    """Checks that a bundle's manifest says whose log it holds, and up to which head."""
    if (bundle.size, bundle.root) != (records.size, records.root.hex()):
        faults.add("the bundle's manifest names another head of the log than its entries have")
    if bundle.key != public.hex():
        faults.add("the bundle's manifest names another key than the one given")


def _cosigned_by_quorum(session: Session, records: Verified) -> int:
    """Returns how far a quorum of the newest run's hospitals has cosigned the log."""
    query = select(RunRow.roster_json).order_by(RunRow.started_at.desc()).limit(1)
    text = session.scalars(query).first()
    if text is None:
        return 0
    try:
        roster = parse_roster(text.encode())
    except MessageRefused:
        return 0  # a fault, which is told
    keys = [site_cosigner(one.site, bytes.fromhex(one.public_key)) for one in roster.members]
    return records.cosigned.newest_met(keys, roster.quorum)


def _check_own(home: Path, records: Verified, public: bytes, faults: Faults) -> str:
    """Holds the log to one hospital's own database; returns the hospital's name."""
    site = site_file_of(home)
    with closing(read_own(home, site)) as hospital:
        check_hospital(hospital, site.name, records, public, faults)
    return site.name


def _check_report(
    path: Path | None, out: Path, public: bytes, records: Verified, faults: Faults
) -> str | None:
    if path is None:
        return None
    from collegium.reports.verifying import check_report  # renderers take seconds to load

    return check_report(path, out, public, records.runs, faults.add)


def _answer(
    looked: _Looked,
    given: AuditInputs,
    public: bytes,
    faults: Faults,
    unsettled: Sequence[AuditFault],
) -> dict[str, Any]:
    records, files = looked.records, looked.files
    return {
        "verified": not faults.found and not unsettled,
        "faults": [fault.to_json() for fault in faults.found],
        "unsettled": [fault.to_json() for fault in unsettled],
        "not_checked": _not_checked(looked, given),
        "unnamed_files": list(files.unnamed) if files else [],
        "key": public.hex(),
        "key_given": given.key is not None,
        "root": records.root.hex(),
        "size": records.size,
        "newest_entry": records.newest,
        "verified_at": timestamp(),
        "studies": records.studies,
        "runs": len(records.runs),
        "references": records.references,
        "acts": records.acts,
        "snapshots": files.models if files else 0,
        "kept_rounds": files.kept_rounds if files else 0,
        "ledgers": len(looked.hospitals),
        "checkpoints": list(looked.checkpoints),
        "cosigners": [
            {
                "name": key.name,
                "key": key.key_id.hex(),
                "type": _KEY_TYPES[key.type],
                "size": size,
                "time": told_seconds(time),
            }
            for key, (size, time) in records.cosigned.newest.items()
        ],
        "cosigned_by_quorum": looked.quorum,
        "report": looked.report,
    }


def _not_checked(looked: _Looked, given: AuditInputs) -> list[str]:
    """Returns what an answer "verified" does not cover, in sentences."""
    files, records, found = looked.files, looked.records, list[str]()
    if given.key is None:
        found.append(
            "whose log it is: the key is the one that lies beside it. Give --key, from the roster "
            "or the root's certificate"
        )
    after = records.size - looked.quorum
    if after:
        found.append(
            f"whether anybody was shown the newest {counted(after, 'entry')} of the log: a "
            "quorum of the newest run's hospitals has cosigned the "
            f"{counted(looked.quorum, 'entry')} before"
        )
    if records.cosigned.unknown:
        found.append(
            f"the cosignatures of {', '.join(sorted(records.cosigned.unknown))}: no roster has "
            "their keys. Give --policy"
        )
    if not looked.checkpoints and not looked.hospitals:
        found.append(
            "whether the whole log was written anew by whoever holds its key. Give --checkpoint, "
            "a note that a hospital keeps (collegium silo log --to FILE), or --hospital, the "
            "folder of one"
        )
    found.append(
        "what the coordinator's own software said when it logged it: times, environment, why a "
        "run failed, whether it was a simulation, of which sweep it was, exact figures, pooled "
        "references and what a red team found are logged, and nobody else has signed them"
    )
    if looked.is_founding:
        found.append(
            "who did what: no person is registered here, so acts are attributed to NOBODY "
            "(collegium people found)"
        )
    if files is None:
        found.append(
            "models, kept rounds and the page: they were left out of this bundle (collegium audit "
            "export --records-only)"
        )
    elif files.kept_rounds:
        found.append(
            f"whether the sums of the {counted(files.kept_rounds, 'kept round')}, their models "
            "and released figures follow from what the hospitals sent: collegium audit recompute "
            "does that"
        )
    if files is not None and files.kept_rounds < files.finished_rounds:
        found.append(
            f"the sums of {files.finished_rounds - files.kept_rounds} of {files.finished_rounds} "
            "rounds, and the models and figures released from them: what they can be recomputed "
            "from is kept for a study's last rounds only (aggregation.keep_rounds)"
        )
    if looked.hospitals:
        found.append(
            "which vectors the hospitals computed from which patients: only they can see that"
        )
        found.append(
            "in the hospitals' databases what is not of the ledger: approvals, decisions about "
            "runs, former keys, rosters, when they were made and whether for a simulation. "
            "collegium audit verify --home does that in a hospital"
        )
    else:
        found.append("the hospitals' ledgers: each hospital checks its own at every start")
        found.append(
            "whether the coordinator signed other figures of the same model to a hospital at a "
            "run's end: the log holds one release of each kind, and what was sent to whom is not "
            "in it. Give --hospital"
        )
    if files is not None and files.unnamed:
        found.append(f"files that no record names: {named_text(files.unnamed)}")
    return found


def _tell(answer: dict[str, Any], looked: _Looked, console: Console) -> None:
    def line(text: str, style: str | None = None) -> None:
        console.print(text, style=style, markup=False, soft_wrap=True)

    records, files = looked.records, looked.files
    source = "given" if answer["key_given"] else "from what is verified"
    if "bundle" in answer:
        line(f"bundle     {answer['bundle']}")
    line(f"key        {answer['key']}, {source}")
    line(f"root       {answer['root']}, {records.size} entries, the newest of {records.newest}")
    held = f"{counted(len(records.runs), 'run')} of {counted(records.studies, 'study')}"
    if records.references:
        held += f" and {counted(records.references, 'pooled reference')}"
    line(f"records    {held}")
    if records.acts:
        line(f"people     {counted(records.acts, 'act')}, signed by who had the right to each")
    held = "none in this bundle"
    if files is not None:
        held = f"{counted(files.models, 'model')}, {counted(files.kept_rounds, 'kept round')}"
    line(f"files      {held}")
    line(f"hospitals  {', '.join(looked.hospitals) or 'none: each keeps its database at home'}")
    for one in answer["cosigners"]:
        who = f"{one['name']} ({one['type']})"
        line(f"cosigned   {one['size']} entries by {who}, {one['time']}")
    if looked.checkpoints:
        line(f"checkpoint {', '.join(f'{size} entries' for size in looked.checkpoints)}")
    if looked.report:
        line(f"report     of run {looked.report}")
    line(f"not checked at {answer['verified_at']}:")
    for sentence in answer["not_checked"]:
        line(f"  - {sentence}")
    for fault in answer["faults"]:
        place = [f"{name} {fault[name]}" for name in ("hospital", "run", "round") if fault[name]]
        line(f"FAULT      {', '.join(place)}{': ' if place else ''}{fault['what']}", "red")
    faults, unsettled = len(answer["faults"]), len(answer["unsettled"])
    said = verdict(faults, answer["verified_at"], answer["key"], "what was logged", unsettled)
    line(said, "red" if faults else "yellow" if unsettled else "green")


def recompute_round(
    out: Path, wanted: str, run: str | None, console: Console, *, key: str | None = None
) -> dict[str, Any]:
    """Computes the sum of a kept round again from what the hospitals sent.

    Args:
        out: the folder.
        wanted: the number of a training round, from 1, or ``evaluation``, or ``evaluation-5`` for
            the one after round 5.
        run: the beginning of a run's id; the newest run when None.
        console: where people read what was found.
        key: the log's key that is trusted, as ``audit verify`` takes it; the folder's when None.

    Raises:
        WorkspaceRefused: there is no such round, or it is no longer kept.
        MessageRefused: the key that was given is none.
        StoreBroken: it is not what the log says; the message says what differs.
    """
    workspace = Workspace.open(out)
    with closing(Store.for_reading(workspace.database)) as store, store.read() as session:
        row = newest_run(session) if run is None else find_run(session, run)
        round_kind, number = _which(wanted, session, row)
        name = name_of(study_of(session, row), round_kind, number)
        found = recompute(
            session,
            RoundArchive(workspace.rounds),
            workspace.public_key() if key is None else read_key(key),
            run_id=row.id,
            round_kind=round_kind,
            number=number,
        )
    for one in found.sums:
        console.print(
            f"{name} of run {found.run_id}: masked vectors of {one.dim} "
            f"numbers from {', '.join(one.survivors)}",
            markup=False,
        )
        console.print(f"sum      {one.sum[:16]}, recomputed bit by bit: it is the one in the log")
    if found.model is not None:
        console.print(
            f"model    {found.model[:16]} follows from {_sums(found)}, and from the models of "
            "earlier rounds where the study averages them: it is the one in the log"
        )
    elif round_kind == "training":
        console.print(
            "model    not compared: it follows from more than this sum: a server that remembers, "
            "or models that are no longer kept (training.average_last, aggregation.keep_rounds)"
        )
    if found.figures:
        console.print("figures  the released figures follow from it and from the signed tables")
    return found.to_json()


def _sums(found: Recomputed) -> str:
    return "it" if len(found.sums) == 1 else "these sums by the study's robust rule"


def _which(wanted: str, session: Session, run: RunRow) -> tuple[str, int]:
    schedule = study_of(session, run).evaluations
    if wanted == "evaluation":
        return "evaluation", schedule.rounds
    after = wanted.removeprefix("evaluation-")
    if after != wanted and _is_number(after):
        number = schedule.number_after(int(after))
        if number is None:
            raise WorkspaceRefused(f"the study makes no evaluation after round {after}")
        return "evaluation", number
    if not _is_number(wanted):
        raise WorkspaceRefused(
            f"round {wanted!r}: give a training round's number, or evaluation, or evaluation-5 for "
            "the one after round 5"
        )
    return "training", int(wanted) - 1


def _is_number(wanted: str) -> bool:
    return wanted.isascii() and wanted.isdigit() and 0 < int(wanted) < 10**6
