"""The preflight of ``silo check``: could this study run at this hospital now?

It looks and changes nothing, prints counts and never a patient's value, and
needs neither Ray nor (for tables) torch. Each line says what was found and, if
something is wrong, what to do. A line that cannot be looked at because an
earlier one failed is left out.
"""

import ssl
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.privacy.budget_filter import Filter
from compliance.privacy.claims import while_few_collude
from compliance.storage.clock import utc_now
from protocol.counted import counted
from protocol.errors import FederationError, StudyRefused
from protocol.identity.roster import ROSTER_WARNING
from protocol.identity.timestamps import read_time
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study
from protocol.transport.requests import MAX_SKEW_SECONDS
from silos.config.attestation import AttestationPolicy
from silos.config.coordinator_identity import require_coordinator
from silos.config.credentials import Credentials
from silos.config.directory import read_own
from silos.config.folder import SITE_FILE
from silos.config.patient_statement import stays_on_one_side
from silos.config.policy import open_at
from silos.config.site_file import SiteFile, site_file_of
from silos.config.study_authorization import refusals_here
from silos.database.approvals import approvals_of
from silos.database.database import SiteDatabase
from silos.database.trusted_rosters import TrustedRosters
from silos.isolation.remote_trainer import TrainingProcess
from silos.operations.budget_text import CHEAPER, price_text, too_dear
from silos.operations.site import require_run_left
from silos.preflight.connectivity import Reach, reach
from silos.preflight.findings import Finding, bad, ok, warn
from silos.preflight.machine import Start, machine_findings
from silos.preflight.recipes import recipe_findings
from silos.preflight.records import RecordsCheck, check_records

_WORRYING_SKEW = 60
_FEW_DAYS = timedelta(days=2)


@dataclass(frozen=True, kw_only=True)
class SiteCheck:
    """The findings of a check, and the quality of the records where they fit the study.

    Both are the hospital's own: they are printed here, and sent nowhere.
    """

    findings: tuple[Finding, ...]
    site: str = ""
    records: RecordsCheck = field(default_factory=RecordsCheck)

    def to_json(self) -> dict[str, Any]:
        """Returns all of it as plain values, as ``docs/data-faults.md`` describes them."""
        quality = self.records.quality
        return {
            "site": self.site,
            "findings": [asdict(entry) for entry in self.findings],
            "records": None if quality is None else quality.to_json(),
        }


def check_site(
    home: Path,
    study: Study,
    folder: Path,
    *,
    records_only: bool = False,
    reach: Reach = reach,
    start: Start = TrainingProcess,
    now: datetime | None = None,
) -> SiteCheck:
    """Returns what stands between a study and this hospital, what does not, and its data quality.

    Args:
        home: the hospital's folder.
        study: what would run.
        folder: where the study's index file lies, if it names one.
        records_only: whether nothing but the site file and the records is looked at.
        reach: tries the line to the coordinator.
        start: starts the training process, which tries what it may do.
        now: the time, with a zone; the system's when None.
    """
    moment = now or utc_now()
    try:
        site = site_file_of(home)
        hospital = read_own(home, site)
    except FederationError as error:
        broken = bad(
            "site file",
            str(error),
            "mend the site file; where there is none, collegium silo init writes one",
        )
        return SiteCheck(findings=(broken,))
    try:
        found = [ok("site file", f"hospital {site.name}, {home / SITE_FILE}")]
        records = RecordsCheck()
        if records_only:
            if site.name not in study.site_names:
                found += _policy(site, study, hospital)
                return SiteCheck(findings=tuple(found), site=site.name)
            records = check_records(home, site, study, folder, hospital)
            found += records.findings
            return SiteCheck(findings=tuple(found), site=site.name, records=records)
        found += _policy(site, study, hospital)
        if site.name in study.site_names:
            found += [*_approval(site, study, hospital), *_hours(site, moment)]
            records = check_records(home, site, study, folder, hospital)
            found += records.findings
            found += [_quorum(study, site.name), *_budget(site, study, hospital)]
        found += recipe_findings(home, site, study)
        found += [*machine_findings(home, site, study, start)]
        found += _line(home, site, hospital, reach, moment)
        return SiteCheck(findings=tuple(found), site=site.name, records=records)
    finally:
        hospital.close()


def _policy(site: SiteFile, study: Study, hospital: SiteDatabase) -> Iterator[Finding]:
    against = refusals_here(site, study, simulated=hospital.simulated)
    for refusal in against:
        yield bad(refusal.where, refusal.what, refusal.remedy)
    if site.policy.attestation is not None:
        yield _machines_asked_for(site.policy.attestation)
    if not against:
        kind = ", a simulated hospital" if hospital.simulated else ""
        yield ok("policy", f"nothing against it{kind}")


def _machines_asked_for(policy: AttestationPolicy) -> Finding:
    try:
        policy.verifiers()
    except FederationError as error:
        return bad("attestation", str(error), "install it, or take it out of policy.attestation")
    return ok(
        "attestation",
        f"the other members must show evidence of the kind {' or '.join(policy.kinds)} in each run",
    )


def _approval(site: SiteFile, study: Study, hospital: SiteDatabase) -> Iterator[Finding]:
    policy = site.policy
    try:
        approvals = approvals_of(hospital)
        names = ", ".join(entry.approver for entry in approvals.standing(study.digest))
        approved = approvals.require(
            study.digest, approvers=policy.approvers, needed=policy.approvals_needed
        )
        used = len(hospital.ledger.runs_of(study.digest))
        require_run_left(used, approved)
    except FederationError as error:
        yield bad("approval", str(error), "read the study, then collegium silo approve")
        return
    yield ok(
        "approval",
        f"digest {study.digest}, by {names}; {used} of {counted(approved, 'approved run')} used",
    )


def _hours(site: SiteFile, now: datetime) -> Iterator[Finding]:
    resources = site.resources
    if resources.hours is None:
        return
    said = f"{resources.hours} ({resources.time_zone})"
    if open_at(resources, now):
        yield ok("hours", f"{said}: open now")
    else:
        yield warn("hours", f"{said}: closed now", "the study joins when the hours begin")


def _quorum(study: Study, site: str) -> Finding:
    """Returns whether hospitals may drop out of the smallest sum that this hospital is in."""
    own = [one for one in study.partial_sums if site in one.sites]
    smallest = min([study.whole_sum, *own], key=lambda one: len(one.sites))
    n, least = len(smallest.sites), study.least_in(smallest)
    among = f" in the sum with {', '.join(smallest.sites)}" if own else ""
    said = (
        f"{n} hospitals{among}, {least} must answer: {n - least} may drop out; safe "
        f"{while_few_collude(study.aggregation.colluders)}"
    )
    if n == least:
        return warn(
            "quorum", said, "one hospital that drops out ends the round: ask for a lower threshold"
        )
    return ok("quorum", said)


def _budget(site: SiteFile, study: Study, hospital: SiteDatabase) -> Iterator[Finding]:
    try:
        plan, privacy = PrivacyPlan.at(study, site.name), study.privacy
        if plan is None or not isinstance(privacy, PatientPrivacy):
            yield warn("budget", "no differential privacy: nothing is charged", "a simulation only")
            return
        hospital.ledger.require_unit(privacy.unit)
        apart = stays_on_one_side(study, site.stated)
        found = hospital.ledger.forecast(plan.plans(apart=apart))
        said = price_text(
            found,
            epsilon=max(plan.epsilon, plan.evaluation_epsilon),
            delta=plan.delta,
            unit=privacy.unit,
            apart=apart,
            counted=""
            if study.trains
            else "test patients"
            if study.has_model and apart
            else "every patient",
        )
        if found.fits:
            yield ok("budget", said)
        else:
            yield bad(
                "budget",
                said,
                f"ask for sites: - {{name: {site.name}, epsilon: ...}}, or for fewer rounds",
            )
        summary = hospital.ledger.summary()
        limit = Filter(epsilon_max=summary.epsilon_max, delta=summary.delta)
        dear = too_dear(limit, plan.events)
        if dear is not None:
            yield warn("price", dear, CHEAPER)
    except StudyRefused as error:
        yield bad("budget", str(error), "mend the study")
    except FederationError as error:
        yield bad("budget", str(error), "collegium silo grant opens a budget, once for life")


def _roster(credentials: Credentials, hospital: SiteDatabase, now: datetime) -> Finding:
    try:
        require_coordinator(credentials.coordinator, hospital)
        rosters = TrustedRosters(hospital)
        newest = rosters.newest()
        if newest is None:
            return bad("roster", "none is trusted", "collegium silo roster sign, or trust")
        term = rosters.term(newest.digest)
    except FederationError as error:
        return bad("roster", str(error), "compare by phone with the other hospitals")
    left = read_time(term.ends) - now
    said = f"{newest.version}, until {term.ends[:10]}, {counted(left.days, 'day')}"
    remedy = (
        f"{term.reason}: the lead proposes the next (collegium coordinator roster propose --renew)"
        ", and every hospital signs it"
    )
    if left <= timedelta(0):
        return bad("roster", said, remedy)
    return ok("roster", said) if left > ROSTER_WARNING else warn("roster", said, remedy)


def _line(
    home: Path, site: SiteFile, hospital: SiteDatabase, reach: Reach, now: datetime
) -> Iterator[Finding]:
    credentials = Credentials(home / "tls", site.name, lambda: now)
    if not credentials.enrolled:
        yield bad("certificate", "not enrolled", "collegium silo enrol, with your invitation")
        return
    try:
        yield _certificate(credentials)
        context = credentials.context()
    except FederationError as error:
        yield bad("certificate", str(error), "ask for a new invitation, then collegium silo enrol")
        return
    yield _roster(credentials, hospital, now)
    if site.coordinator is None:
        yield bad("line", "no coordinator is named", "set coordinator in the site file")
        return
    yield from _contact(site.coordinator, context, reach, now)


def _certificate(credentials: Credentials) -> Finding:
    left, said = credentials.left, f"good until {credentials.expires:%Y-%m-%d %H:%M} UTC"
    if timedelta(0) < left < _FEW_DAYS:
        return warn("certificate", said, "it renews itself while collegium silo start runs")
    return ok("certificate", f"{said}, {counted(left.days, 'day')}")


def _contact(url: str, context: ssl.SSLContext, reach: Reach, now: datetime) -> Iterator[Finding]:
    contact = reach(url, context)
    yield from contact.findings
    if contact.time is None:
        yield warn("clock", "not compared: the coordinator's is not known", "mend the line first")
        return
    skew = abs((now - contact.time).total_seconds())
    said = f"{skew:.0f} seconds from the coordinator's"
    if skew > MAX_SKEW_SECONDS:
        yield bad("clock", said, "set this machine's clock: turn on NTP")
    elif skew > _WORRYING_SKEW:
        yield warn("clock", said, "turn on NTP")
    else:
        yield ok("clock", said)
