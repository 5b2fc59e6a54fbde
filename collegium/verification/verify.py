"""Verifies a folder of runs or a bundle: log, records, files, and what the auditor brought along.

Nothing is written, neither into the folder nor beside it: evidence may lie on a
medium that cannot be written.
"""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from rich.console import Console
from sqlalchemy import select
from sqlalchemy.orm import Session

from collegium.verification.answer import Examined, answer_of, show_answer
from collegium.verification.bundle.packing import BundleManifest
from collegium.verification.bundle.restoring import restored
from collegium.verification.hospital_checks import check_hospital, check_simulated, simulated_files
from collegium.verification.inputs import AuditInputs, check_checkpoint, read_key
from compliance.storage.encryption.folder import WEIGHTS
from compliance.storage.engines.schema_check import schema_faults
from compliance.storage.unnamed_files import named_text
from coordinator.audit.acts import check_weights
from coordinator.audit.cosignature_check import cosigned_by_quorum
from coordinator.audit.faults import AuditFault, Faults
from coordinator.audit.folder_checks import check_files
from coordinator.audit.verification import Verified, check_records
from coordinator.database.store import MIGRATIONS, RunRow, Store
from coordinator.database.workspace import Workspace
from coordinator.membership.directory import is_coordinator
from protocol.counted import counted
from protocol.errors import PolicyRefused, StoreBroken, WorkspaceRefused
from silos.config.directory import read_own
from silos.config.folder import is_hospital
from silos.config.site_file import site_file_of


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
    found, faults = _examine(workspace, given, public)
    unsettled: list[AuditFault] = []
    if at_work and faults.found:
        before = faults.found
        found, faults = _examine(workspace, given, public)
        lasting = [fault for fault in faults.found if fault in before]
        unsettled = [fault for fault in (*before, *faults.found) if fault not in lasting]
        faults.found = lasting
    answer = answer_of(found, given, public, faults, unsettled)
    show_answer(answer, found, console)
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
        found, faults = _examine(workspace, given, public, manifest)
        answer = answer_of(found, given, public, faults, []) | {"bundle": manifest.digest}
    show_answer(answer, found, console)
    return answer


def _examine(
    workspace: Workspace,
    given: AuditInputs,
    public: bytes,
    bundle: BundleManifest | None = None,
) -> tuple[Examined, Faults]:
    """Examines everything; in a bundle there is no hospital, and there may be no files."""
    faults = Faults()
    with closing(Store.for_reading(workspace.database)) as store, store.read() as session:
        with faults.checking("the schema of the database"):
            for fault in schema_faults(session.connection(), MIGRATIONS):
                faults.add(fault)
        records = check_records(session, public, faults, given.witnesses(public))
        quorum = cosigned_by_quorum(session, records.cosigned)
        is_founding = not records.acts and _is_consortium(session, workspace)
        files, encrypted, elsewhere = None, None, set[str]()
        if bundle is None:  # encrypted models are in no bundle
            weights = check_weights(session, workspace.root, public, records.entries, faults)
            encrypted = len(weights.histories)
            elsewhere = {f"{WEIGHTS}/{name}" for name in weights.files}
            elsewhere |= simulated_files(workspace)
        if bundle is None or bundle.scope == "all":
            files = check_files(session, workspace, public, records.entries, faults, elsewhere)
    hospitals: tuple[str, ...] = ()
    if bundle is None:
        hospitals = check_simulated(workspace, records, public, faults)
    else:
        _check_manifest(bundle, records, public, faults)
        if files is not None and files.unnamed:
            faults.add(f"the bundle holds files that no record names: {named_text(files.unnamed)}")
    if given.hospital is not None:
        hospitals += (_check_own(given.hospital, records, public, faults),)
    found = Examined(
        records=records,
        quorum=quorum,
        files=files,
        encrypted=encrypted,
        hospitals=hospitals,
        checkpoints=tuple(
            check_checkpoint(path, records, public, faults) for path in given.checkpoints
        ),
        report=_check_report(given, workspace.root, public, records, faults),
        is_founding=is_founding,
    )
    return found, faults


def _check_manifest(
    bundle: BundleManifest, records: Verified, public: bytes, faults: Faults
) -> None:
    """Checks that a bundle's manifest says whose log it holds, and up to which head."""
    if (bundle.size, bundle.root) != (records.size, records.root.hex()):
        faults.add("the bundle's manifest names another head of the log than its entries have")
    if bundle.key != public.hex():
        faults.add("the bundle's manifest names another key than the one given")


def _is_consortium(session: Session, workspace: Workspace) -> bool:
    """Whether the records are a consortium's: a simulation on one machine has no people to know."""
    runs = select(RunRow.id).where(RunRow.simulation.is_(False)).limit(1)
    return is_coordinator(workspace.root) or session.scalars(runs).first() is not None


def _check_own(home: Path, records: Verified, public: bytes, faults: Faults) -> str:
    """Holds the log to one hospital's own database; returns the hospital's name.

    Raises:
        WorkspaceRefused: the folder has no site file that can be read.
    """
    try:
        site = site_file_of(home)
    except PolicyRefused as error:
        raise WorkspaceRefused(f"--hospital {home} is no hospital's folder: {error}") from error
    with closing(read_own(home, site)) as hospital:
        check_hospital(hospital, site.name, records, public, faults)
    return site.name


def _check_report(
    given: AuditInputs, out: Path, public: bytes, records: Verified, faults: Faults
) -> str | None:
    if given.report is None:
        return None
    from collegium.reports.verifying import check_report  # renderers take seconds to load

    return check_report(given.report, out, given.declarations, public, records.runs, faults.add)
