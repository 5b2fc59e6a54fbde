"""Files in a hospital's folder: final models, encrypted ones, and what names each."""

from contextlib import suppress
from pathlib import Path

from compliance.governance.study_store import StudyStore
from compliance.storage.encryption.folder import WEIGHTS, WeightsFolder
from protocol.counted import counted
from protocol.errors import FederationError
from silos.config.folder import SITE_FILE
from silos.database.approvals import approvals_of
from silos.database.database import SiteDatabase
from silos.database.identity_keys import IdentityKeys
from silos.database.joined_runs import JoinedRun, JoinedRuns
from silos.operations.own_check.runs import Tell
from silos.results.kept_models import HELD, evaluated_files, require_about
from silos.results.run_results import own_results
from silos.results.serving import serving_log_of


def check_results(home: Path, hospital: SiteDatabase, tell: Tell) -> str:
    """Checks what came back of every run, and how to use it."""
    kept = 0
    for run in JoinedRuns(hospital).all():
        try:
            found = own_results(home, hospital, run)
        except FederationError as error:
            tell(str(error))
            continue
        kept += found.is_announced_model is True
        if found.is_other_end or (found.evaluated and found.announced and found.model is None):
            tell(f"run {run.run_id}: its final model is {found.about_model}")
            continue
        if found.model is not None:
            _check_about(home, run, tell)
        if found.is_announced_model is False:
            tell(f"run {run.run_id}: the model here is {found.about_model}")
    return f"{counted(kept, 'final model')} here, each as the coordinator signed it"


def _check_about(home: Path, run: JoinedRun, tell: Tell) -> None:
    try:
        study, _ = StudyStore(home / "studies").read(run.study)
    except FederationError:
        return  # told with the studies
    try:
        require_about(home, run.run_id, study)
    except FederationError as error:
        tell(str(error))


def check_weights(home: Path, hospital: SiteDatabase, tell: Tell) -> str:
    """Checks record, header and payload of every encrypted model that this hospital sealed."""
    found = _weights(home, hospital).check()
    for fault in found.faults:
        tell(fault)
    return f"{counted(len(found.histories), 'encrypted model')}, each as this hospital signed it"


def check_serving(home: Path) -> str:
    """Checks the log of which models were loaded to score, and when.

    Raises:
        FederationError: a line was changed or removed, or is signed by somebody else.
    """
    events = serving_log_of(home).read().events
    return f"{counted(len(events), 'event')} of serving, each signed by this hospital"


def _weights(home: Path, hospital: SiteDatabase) -> WeightsFolder:
    trusted = {bytes.fromhex(key) for key in IdentityKeys(hospital).public()}
    return WeightsFolder(home / WEIGHTS, trusted)


def named_files(home: Path, hospital: SiteDatabase) -> set[str]:
    """Returns the files of a home that the checks look at; what cannot be read names none."""
    named = {SITE_FILE, *(f"tls/{name}" for name in ("root.pem", "silo.key", "silo.pem"))}
    with suppress(FederationError):
        named |= hospital.named_files()
    with suppress(FederationError):
        named |= {f"studies/{each.study}/study.yaml" for each in approvals_of(hospital).all()}
    with suppress(FederationError):
        runs = {run.run_id for run in JoinedRuns(hospital).all()}
        named |= {f"results/{run}/{name}" for run in runs for name in HELD}
        earlier = (file for run in runs for file in evaluated_files(home, run))
        named |= {file.relative_to(home).as_posix() for file in earlier}
    with suppress(FederationError):
        named |= serving_log_of(home).files()
    with suppress(FederationError):
        named |= {f"{WEIGHTS}/{name}" for name in _weights(home, hospital).check().files}
    return named
