"""Operations at a hospital's own machine: set up, open the budget, decide, show.

Everything here works on the hospital's home alone; nothing goes over the line.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from compliance.facts.formatting import Format, show
from compliance.facts.training_description import training_description
from compliance.governance.approvals import Approval
from compliance.governance.study_store import StudyStore
from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.privacy.claims import PATIENTS, if_more_collude, while_few_collude
from compliance.storage.atomic_file import write_new
from protocol.counted import counted
from protocol.errors import FederationError, PolicyRefused, WorkspaceRefused
from protocol.identity.roster import ROSTER_WARNING
from protocol.identity.timestamps import read_time
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study
from protocol.study.study_file import (
    index_beside,
    lines_of,
    pretrained_beside,
    read_study_file,
    read_text,
)
from silos.config.credentials import Credentials
from silos.config.directory import make_own, opened, read_own
from silos.config.folder import SITE_FILE
from silos.config.patient_statement import PatientStatement, patient_is, stays_on_one_side
from silos.config.site_file import Policy, SiteFile, read_site_file, site_file_of
from silos.config.site_template import site_template
from silos.config.study_authorization import columns_here, require_allowed
from silos.database.approvals import approvals_of
from silos.database.database import SiteDatabase
from silos.database.joined_runs import JoinedRuns, told_state
from silos.database.trusted_rosters import TrustedRosters
from silos.network.supervisor import STATUS_FILE
from silos.operations.budget import read_budget
from silos.operations.budget_text import forecast_text
from silos.results.run_results import announced_result

#: The fewest digits by which an approved study is named here.
_MIN_DIGITS = 8
#: As many letters as the ledger has room for.
_MAX_SIGNERS = 200


def make_home(
    home: Path,
    site: str,
    coordinator: str | None,
    *,
    simulated: bool,
    database: str | None = None,
) -> None:
    """Makes a hospital's home: its database with fresh keys, and a site file that allows nothing.

    Raises:
        WorkspaceRefused: a hospital lives there already, or the folder cannot be written.
        SiteFileRefused: the name or the address is wrong.
    """
    text = site_template(site, coordinator, database)
    read = read_site_file(text)
    if (home / "hospital.db").exists() or (home / SITE_FILE).exists():
        raise WorkspaceRefused(f"--home {home} already holds a hospital: choose another folder")
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_own(home, read, simulated=simulated)
        write_new(home / SITE_FILE, text.encode())
    except OSError as error:
        raise WorkspaceRefused(f"--home {home} cannot be written: {error.strerror}") from error


def grant(
    home: Path, *, epsilon: float, delta: float, signed_by: Sequence[str], unit: str
) -> dict[str, Any]:
    """Opens the budget of this hospital's patients, for life; returns where it stands.

    Args:
        home: the hospital's folder.
        epsilon: for each patient, for life.
        delta: the same.
        signed_by: the approvers who open it, as many as the site's policy asks of a study.
        unit: patient or record.

    Raises:
        PolicyRefused: who signs is no approver, too few sign, or the budget was opened with other
            figures.
    """
    with opened(home) as (site, hospital):
        names = _approvers(site.policy, signed_by)
        try:
            hospital.ledger.open_budget(
                epsilon_max=epsilon, delta=delta, signed_by=names, unit=unit
            )
        except ValueError as error:
            raise PolicyRefused(f"no such budget can be kept: {error}") from error
        return read_budget(hospital)


def _approvers(policy: Policy, signed_by: Sequence[str]) -> str:
    """Returns those who open the budget, as the ledger keeps them.

    Raises:
        PolicyRefused: one is no approver, or they are fewer than the policy asks for.
    """
    names = sorted({name.strip() for name in signed_by})
    for name in names:
        if name not in policy.approvers:
            named = ", ".join(policy.approvers) or "nobody yet"
            raise PolicyRefused(
                f"{name!r} may not open the budget: policy.approvers in the site file names {named}"
            )
    if len(names) < policy.approvals_needed:
        raise PolicyRefused(
            f"{counted(policy.approvals_needed, 'approver')} open the budget here "
            f"(policy.approvals_needed), {len(names)} signed: --signed-by once for each"
        )
    text = ", ".join(names)
    if len(text) > _MAX_SIGNERS:
        raise PolicyRefused(f"the names of the signers have more than {_MAX_SIGNERS} letters")
    return text


def describe_request(home: Path, study: Study, runs: int = 1) -> tuple[tuple[str, str], ...]:
    """Returns what an approver agrees to, as pairs of a heading and plain words.

    Args:
        home: the hospital's folder.
        study: what is to be approved.
        runs: how many more runs of it.

    Raises:
        PolicyRefused: the policy does not allow the study.
        StudyRefused: its noise does not keep what it promises.
    """
    with opened(home) as (site, hospital):
        require_allowed(site, study, simulated=hospital.simulated)
        whose = patient_is(study, site.stated, simulated=hospital.simulated)
        return (
            ("study", f"{study.title} ({study.name})"),
            ("digest", study.digest),
            ("purpose", " ".join(study.purpose.split())),
            *_sets_out_to_show(study),
            ("with", ", ".join(name for name in study.site_names if name != site.name)),
            ("columns", ", ".join(columns_here(site, study))),
            ("network", _network(study)),
            *training_description(study.model_dump(mode="json")),
            ("work", _work(study, site.name)),
            ("runs", _runs_asked_for(len(hospital.ledger.runs_of(study.digest)), runs)),
            ("a patient is", PATIENTS[whose]),
            *_cost(study, site.name, hospital, site.stated),
            (
                "secrecy",
                f"an update is seen only in a sum of at least {study.fewest_with(site.name)} "
                "hospitals, "
                f"{while_few_collude(study.aggregation.colluders)}",
            ),
        )


def _sets_out_to_show(study: Study) -> tuple[tuple[str, str], ...]:
    """Returns the hypotheses of a preregistration and what decides them; nothing without one."""
    said = study.preregistration
    if said is None:
        return ()
    return tuple(
        pair
        for one in said.hypotheses
        for pair in (
            ("to show", f"{one.text}{' (primary)' if one.primary else ''}"),
            ("decided by", "; ".join(each.words for each in said.criteria_of(one))),
        )
    )


def _of_all(study: Study) -> str:
    if study.participation is None:
        return ""
    return f" (of {study.training.rounds}: batches of hospitals take turns)"


def _work(study: Study, site: str) -> str:
    """Returns what is done, and how often."""
    if not study.trains:
        again = study.evaluation.attempts - 1
        spare = f"; {counted(again, 'time')} more if that fails, priced below" if again else ""
        if study.calendar is not None:
            return (
                "every patient is counted, of training and of tests alike, for a reference and "
                f"{counted(study.calendar, 'release')} after it, each a run{spare}; the first "
                "reserves what is said below for all of them together"
            )
        if study.has_model:
            return (
                "nothing is trained; the study's model is evaluated on this hospital's test "
                f"patients: once{spare}; training patients are not used, and pay nothing"
            )
        return f"every patient is counted, of training and of tests alike: once{spare}"
    return (
        f"{counted(study.rounds_of(site), 'round')}{_of_all(study)} of "
        f"{counted(study.training.local_steps, 'step')}; "
        f"{study.aggregation.spare_draws} more if rounds fail and must be repeated, priced below"
        + _evaluated(study)
    )


def _evaluated(study: Study) -> str:
    """Returns how often the model is evaluated, where that is more than once."""
    interim = study.evaluations.interim
    if not interim:
        return ""
    back = study.evaluation.roll_back
    return f"; evaluated {interim + 1} times, priced below together" + (
        "" if back is None else f"; rounds that make it worse by more than {back:g} are undone"
    )


def _network(study: Study) -> str:
    """Returns the network's name, with those that it is made of."""
    if study.task.pretrained is not None and not study.has_model:
        return f"none learns: columns are counted, and scores of {study.task.pretrained.file}"
    if not study.has_model:
        return "none: columns are counted"
    own, *others = study.task.network.targets
    return f"{own} of {' and '.join(others)}" if others else own


def _paying(study: Study) -> str:
    """Returns which patients pay, where that is not all of them."""
    return "test " if study.has_model and not study.trains else ""


def _require_layers(study: Study) -> None:
    kept = study.training.kept_layers
    named = study.task.names_layers or bool(kept)
    if named and not study.recipes and not study.trains and study.has_model:
        from pipelines.networks.given_network import given_network

        given_network(study.task, study.cohort)
    elif named and not study.recipes:  # whose code is not run here: silo check
        from pipelines.networks.networks import require_layers  # torch takes seconds to import

        require_layers(study.task, study.cohort, kept)


def _runs_asked_for(used: int, runs: int) -> str:
    more = counted(runs, "run")
    before = f"; {used} before" if used else ""
    return (
        f"this approval is for {more}{before}. Each costs what is said below. A run that fails "
        "counts too, unless nothing of it was sent; what follows needs another approval"
    )


def _cost(
    study: Study, site: str, hospital: SiteDatabase, stated: PatientStatement
) -> Iterator[tuple[str, str]]:
    plan, privacy = PrivacyPlan.at(study, site), study.privacy_of(site)
    colluders = study.aggregation.colluders
    if plan is None or not isinstance(privacy, PatientPrivacy):
        yield "privacy", "NONE: only a simulated hospital may take part"
        return
    yield (
        "privacy",
        f"each {_paying(study)}{privacy.unit}: epsilon {show(plan.epsilon, Format.EPSILON)} "
        f"at delta {show(plan.delta, Format.SMALL)}, mode {privacy.mode}"
        + (
            f"; in the evaluation epsilon {show(plan.evaluation_epsilon, Format.EPSILON)}"
            if plan.trains
            else ""
        ),
    )
    if plan.fallback_epsilon is not None:
        yield (
            "shared noise",
            f"this holds {while_few_collude(colluders)}; {if_more_collude(colluders)}, epsilon "
            f"{show(plan.fallback_epsilon, Format.EPSILON)}",
        )
    try:
        found = hospital.ledger.forecast(plan.plans(apart=stays_on_one_side(study, stated)))
    except PolicyRefused:
        yield "budget", "NOT OPENED: this study cannot run before collegium silo grant"
        return
    yield "budget", forecast_text(found)


def approve(home: Path, path: Path, *, by: str, reason: str, runs: int = 1) -> tuple[Approval, int]:
    """Records an approval and keeps the study with its index file under its digest.

    Args:
        home: the hospital's folder.
        path: the study document.
        by: who approves.
        reason: kept beside the decision.
        runs: how many more runs of the study this person approves.

    Returns:
        The approval, and how many more people must approve before the study may run.

    Raises:
        PolicyRefused: the policy does not allow the study, or does not name this person.
        StudyRefused: the document or its index file is wrong.
    """
    study = read_study_file(path)
    with lines_of(path):
        _require_layers(study)
    with opened(home) as (site, hospital):
        require_allowed(site, study, simulated=hospital.simulated)
        beside = index_beside(study, path.parent), pretrained_beside(study, path.parent)
        StudyStore(home / "studies").keep(read_text(path), *beside)
        approvals, policy = approvals_of(hospital), site.policy
        used = len(hospital.ledger.runs_of(study.digest))
        done = approvals.approve(
            study.digest,
            approver=by,
            approvers=policy.approvers,
            used=used,
            runs=runs,
            reason=reason,
        )
        standing = {e.approver for e in approvals.standing(study.digest) if e.runs > used}
        return done, max(0, policy.approvals_needed - len(standing & set(policy.approvers)))


def require_run_left(used: int, approved: int) -> None:
    """Refuses a study whose approved runs are used.

    Raises:
        PolicyRefused: says how many there were.
    """
    if used >= approved:
        raise PolicyRefused(
            f"{used} of {counted(approved, 'approved run')} used: another needs another approval: "
            "collegium silo approve"
        )


def withdraw(home: Path, digest: str, *, by: str, reason: str) -> Approval:
    """Records that a study may not run here any more.

    Args:
        digest: the study's, or its first digits, at least eight.

    Raises:
        PolicyRefused: no approved study has this digest, or more than one.
    """
    with opened(home) as (_site, hospital):
        approvals = approvals_of(hospital)
        found = {e.study for e in approvals.all() if e.study.startswith(digest)}
        if len(digest) < _MIN_DIGITS or len(found) != 1:
            raise PolicyRefused(
                f"{digest!r} names {len(found)} approved studies: give the digest as collegium "
                f"silo studies shows it, or its first digits, at least {_MIN_DIGITS}"
            )
        return approvals.withdraw(found.pop(), approver=by, reason=reason)


def list_studies(home: Path) -> list[dict[str, Any]]:
    """Returns every study that was ever decided on, and whether it may run now."""
    site = site_file_of(home)
    hospital = read_own(home, site)
    archive = StudyStore(home / "studies")
    try:
        approvals = approvals_of(hospital)
        digests = dict.fromkeys(entry.study for entry in approvals.all())
        return [_standing(site, hospital, archive, digest) for digest in digests]
    finally:
        hospital.close()


def _standing(
    site: SiteFile, hospital: SiteDatabase, archive: StudyStore, digest: str
) -> dict[str, Any]:
    approvals, policy = approvals_of(hospital), site.policy
    found: dict[str, Any] = {
        "digest": digest,
        "name": None,
        "approved_by": [entry.approver for entry in approvals.standing(digest)],
        "runs_used": len(hospital.ledger.runs_of(digest)),
        "runs_approved": 0,
    }
    try:
        study, _ = archive.read(digest)
        found["name"] = study.name
        found["runs_approved"] = approvals.require(
            digest, approvers=policy.approvers, needed=policy.approvals_needed
        )
        require_allowed(site, study, simulated=hospital.simulated)
        require_run_left(found["runs_used"], found["runs_approved"])
    except FederationError as error:
        return found | {"may_run": False, "why_not": str(error)}
    return found | {"may_run": True, "why_not": None}


def describe_home(home: Path) -> dict[str, Any]:
    """Returns what a hospital's files say about it now, for ``silo status``.

    Raises:
        SiteFileRefused, WorkspaceRefused, LedgerBroken: the home cannot be read; says why.
        MessageRefused: what is kept of a run's end was signed by no coordinator of this hospital.
    """
    site = site_file_of(home)
    hospital = read_own(home, site)
    try:
        hospital.ledger.verify()
        hospital.ledger.require_newest()
        runs = JoinedRuns(hospital).all()
        return {
            "hospital": hospital.site,
            "simulated": hospital.simulated,
            "supervisor": _supervisor(home),
            "certificate": _certificate(home, site),
            "roster": _roster(hospital),
            "budget": _budget(hospital),
            "studies": list_studies(home),
            "runs": [
                {"run": run.run_id, "study": run.study, "since": run.changed_at,
                 "state": told_state(
                     run, has_result=announced_result(home, hospital, run) is not None)}
                for run in runs
            ],
        }  # fmt: skip
    finally:
        hospital.close()


def _budget(hospital: SiteDatabase) -> dict[str, Any] | None:
    try:
        return read_budget(hospital)
    except PolicyRefused:
        return None


def _certificate(home: Path, site: SiteFile) -> dict[str, Any] | None:
    credentials = Credentials(home / "tls", site.name)
    if not credentials.enrolled:
        return None
    return {"expires": credentials.expires.isoformat(), "days_left": credentials.left.days}


def _roster(hospital: SiteDatabase) -> dict[str, Any] | None:
    rosters = TrustedRosters(hospital)
    newest = rosters.newest()
    if newest is None:
        return None
    term = rosters.term(newest.digest)
    left = read_time(term.ends) - read_time(hospital.now())
    return {
        "version": newest.version,
        "digest": newest.digest,
        "ends": term.ends,
        "reason": term.reason,
        "days_left": left.days,
        "is_due": left <= ROSTER_WARNING,
    }


def _supervisor(home: Path) -> dict[str, Any] | None:
    """Returns the supervisor's last note of its state, and whether its process is alive."""
    try:
        note = json.loads((home / STATUS_FILE).read_text(encoding="utf-8"))
        return {
            "state": str(note["state"]),
            "reason": str(note["reason"]),
            "time": int(note["time"]),
            "alive": Path(f"/proc/{int(note['pid'])}").exists(),
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None
