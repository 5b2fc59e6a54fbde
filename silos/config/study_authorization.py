"""Authorization of a study by the hospital: asked at every join, never remembered.

A study may run here when all of this holds at that moment:

1. the site file can be read, and is this hospital's;
2. its policy has nothing against the study;
3. as many of the people whom the policy names now as it asks for have approved
   the study's digest, and nobody has withdrawn it. They have approved a number
   of runs; the ledger refuses what goes beyond it, as it books the run;
4. it is an hour at which the hospital lets studies begin;
5. of every recipe that the study names, the hospital's own wheel is the study's, and what is
   installed is as in the wheel.
"""

from dataclasses import dataclass
from pathlib import Path

from compliance.governance.approvals import Approvals
from compliance.storage.clock import Clock, utc_now
from pipelines.recipes.admission import admit
from pipelines.sources.source import Source
from protocol.errors import MessageRefused, PolicyRefused
from protocol.log.witness_policy import WitnessPolicy, parse_policy
from protocol.study.study import Study
from protocol.transport.privacy_summary import MAX_APPROVALS, NamedApproval
from silos.config.attestation import AttestationPolicy
from silos.config.directory import require_own
from silos.config.patient_statement import (
    NOTHING_STATED,
    STATE_IT,
    PatientStatement,
    missing_statement,
)
from silos.config.policy import (
    Refusal,
    clinical_refusals,
    columns_read,
    label_columns,
    label_refusals,
    open_at,
    recipe_refusals,
    refusals,
)
from silos.config.site_file import PatientRules, Policy, SiteFile, site_file_of, source_of
from silos.config.site_file.clinical_data import FhirData, OmopData
from silos.config.site_file.data import ImageFolderData
from silos.database.approvals import approvals_of
from silos.database.database import SiteDatabase


@dataclass(frozen=True, kw_only=True)
class StudyTerms:
    """The terms on which a study may run in a hospital, from one reading of its site file.

    ``runs`` is how many runs are allowed in all, ``source`` what reads the records; both are None
    only in a simulation. ``stated`` is what the hospital states about its patients, ``attestation``
    what it asks of the other members' machines, ``witnesses`` of the log's head under which a round
    is opened. ``rules`` are about consent, whose file lies in ``home``. ``approvals`` are the
    people who approved the study, where the hospital names them (``policy.name_approvers``).
    """

    runs: int | None
    source: Source | None
    stated: PatientStatement = NOTHING_STATED
    attestation: AttestationPolicy | None = None
    rules: PatientRules = PatientRules()
    witnesses: WitnessPolicy | None = None
    home: Path = Path()
    approvals: tuple[NamedApproval, ...] = ()


class StudyAuthorization:
    """Says yes to a study by returning, and no by raising.

    Args:
        home: the hospital's folder.
        hospital: its open database.
        clock: says what time it is.
    """

    def __init__(
        self,
        home: Path,
        hospital: SiteDatabase,
        clock: Clock = utc_now,
    ) -> None:
        self._home = home
        self._hospital = hospital
        self._clock = clock

    def __call__(self, study: Study) -> StudyTerms:
        """Returns the terms of a study that may begin now.

        Raises:
            PolicyRefused: says what is against it, and what to do.
            SiteFileRefused: the site file cannot be read, is wrong, or is another hospital's.
            StoreBroken: the recorded approvals were changed.
        """
        site = site_file_of(self._home)
        require_own(site, self._hospital)
        require_allowed(site, study, simulated=self._hospital.simulated)
        approvals = approvals_of(self._hospital)
        runs = approvals.require(
            study.digest, approvers=site.policy.approvers, needed=site.policy.approvals_needed
        )
        if not open_at(site.resources, self._clock()):
            raise PolicyRefused(
                f"studies begin here at {site.resources.hours} ({site.resources.time_zone}) only: "
                "resources.hours in the site file"
            )
        admit_recipes(site, self._home, study)
        return StudyTerms(
            runs=runs,
            source=source_of(site, self._home),
            stated=site.stated,
            attestation=site.policy.attestation,
            rules=site.patients,
            witnesses=witnesses_of(site.policy, self._home),
            home=self._home,
            approvals=named_approvals(approvals, study, site.policy),
        )


def named_approvals(
    approvals: Approvals, study: Study, policy: Policy
) -> tuple[NamedApproval, ...]:
    """Returns the approvers of a study whom the policy lets stand in reports; nobody by default.

    Of more than a summary holds, those who decided first.

    Raises:
        StoreBroken: the decisions were changed.
    """
    if not policy.name_approvers:
        return ()
    standing = approvals.standing(study.digest)
    found = [one for one in standing if one.approver in policy.approvers]
    first = sorted(found, key=lambda one: one.number)[:MAX_APPROVALS]
    return tuple(NamedApproval(name=one.approver, on=one.decided_at[:10]) for one in first)


def witnesses_of(policy: Policy, home: Path) -> WitnessPolicy | None:
    """Returns the policy of witnesses that a site file names; None where it names none.

    Raises:
        PolicyRefused: the file cannot be read, or is no such policy.
    """
    if policy.witnesses is None:
        return None
    path = home / policy.witnesses
    try:
        return parse_policy(path.read_bytes())
    except OSError as error:
        raise PolicyRefused(f"policy.witnesses: {path} cannot be read: {error.strerror}") from error
    except MessageRefused as error:
        raise PolicyRefused(f"policy.witnesses: {path}: {error}") from error


def admit_recipes(site: SiteFile, home: Path, study: Study) -> None:
    """Compares the recipes of a study that the policy allows; they may be imported then.

    Raises:
        PolicyRefused: one is not allowed, a wheel is not the study's, or what is installed is not
            as in the wheel.
    """
    for refusal in recipe_refusals(site.policy, study):
        raise PolicyRefused(str(refusal))
    wheels = {recipe.sha256: home / recipe.wheel for recipe in site.policy.recipes}
    for package in study.recipes:
        admit(package, wheels[package.sha256])


def columns_here(site: SiteFile, study: Study) -> tuple[str, ...]:
    """Returns the columns that a study reads at this hospital, sorted: ``policy.columns`` has all.

    They are those of ``columns_read``, and ``label_columns`` where a table names the images.
    """
    labels = label_columns(study) if isinstance(site.data, ImageFolderData) else ()
    return tuple(sorted({*columns_read(study, site.name), *labels}))


def refusals_here(site: SiteFile, study: Study, *, simulated: bool) -> tuple[Refusal, ...]:
    """Returns all that a hospital's site file has against a study: policy and statements."""
    missing = None if simulated else missing_statement(study, site.stated)
    found = refusals(site.policy, study, site=site.name, simulated=simulated)
    if isinstance(site.data, OmopData | FhirData):
        found += tuple(clinical_refusals(site.policy, study, site.data.kind))
    if isinstance(site.data, ImageFolderData):
        found += tuple(label_refusals(site.policy, study))
    if missing is None:
        return found
    return (*found, Refusal(what=missing, where="data", remedy=STATE_IT))


def require_allowed(site: SiteFile, study: Study, *, simulated: bool) -> None:
    """Refuses a study that the policy does not allow.

    Raises:
        PolicyRefused: all that is against it, one line each.
    """
    found = refusals_here(site, study, simulated=simulated)
    if found:
        lines = "\n".join(f"  {refusal}" for refusal in found)
        raise PolicyRefused(
            f"the policy of {site.name} does not allow study {study.name}:\n{lines}"
        )
