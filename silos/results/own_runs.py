"""The runs of one hospital, read from its own folder alone: for its own people."""

from collections.abc import Iterator
from pathlib import Path

from compliance.estimates.interval import Interval
from compliance.facts.training_description import training_description
from compliance.governance.study_store import StudyStore
from compliance.ledger.entries import NOTHING, Budget, Entry, LedgerSummary, Rho, State
from compliance.ledger.privacy_plan import PrivacyPlan, calendar_name
from compliance.reports.one_run.hospital_report import (
    ApprovalFacts,
    CohortFacts,
    CostFacts,
    HospitalRun,
    PlanFacts,
    ReleaseFacts,
    ResultFacts,
    StudyFacts,
)
from protocol.errors import PolicyRefused, StudyRefused
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study
from silos.config.credentials import Credentials
from silos.config.directory import reading
from silos.database.approvals import approvals_of
from silos.database.database import SiteDatabase
from silos.database.joined_runs import JoinedRun, JoinedRuns
from silos.results.run_results import OwnResults, own_results
from silos.rounds.joint_prices import joint_prices
from silos.rounds.openings.log_heads import LogHeads


def own_runs(home: Path) -> tuple[HospitalRun, ...]:
    """Returns every run that this hospital was asked to join, newest first."""
    with reading(home) as (_, hospital):
        runs = reversed(JoinedRuns(hospital).all())
        return tuple(_facts(home, hospital, run, together=False) for run in runs)


def own_run(home: Path, run_id: str) -> HospitalRun:
    """Returns one run; a unique beginning of its name is enough.

    Raises:
        WorkspaceRefused: there is no such run here, or several begin so.
    """
    with reading(home) as (_, hospital):
        return _facts(home, hospital, JoinedRuns(hospital).named(run_id), together=True)


def _facts(home: Path, hospital: SiteDatabase, run: JoinedRun, *, together: bool) -> HospitalRun:
    """``together`` asks for the prices of several parts too, which takes seconds."""
    study, plan = _study(home, hospital.site, run.study, together=together)
    with hospital.transaction() as chain:
        budget = chain.budget()
        own = (run.run_id, calendar_name(run.study))  # a calendar is reserved for all its runs
        entries = [entry for entry in chain.entries() if entry.run in own]
    summary = _summary(hospital)
    credentials = Credentials(home / "tls", hospital.site)
    newest, results = None, own_results(home, hospital, run)
    if credentials.enrolled:
        newest = LogHeads(hospital, credentials.coordinator.key).newest()
    return HospitalRun(
        site=hospital.site,
        simulated=hospital.simulated,
        run_id=run.run_id,
        state=results.state,
        joined_at=run.joined_at,
        changed_at=run.changed_at,
        left_by=run.left_by,
        left_because=run.left_because,
        study_digest=run.study,
        study=study,
        approvals=tuple(
            ApprovalFacts(
                decision=entry.decision.value,
                approver=entry.approver,
                decided_at=entry.decided_at,
                runs=entry.runs,
                reason=entry.reason,
            )
            for entry in approvals_of(hospital).all()
            if entry.study == run.study
        ),
        costs=tuple(_costs(entries, budget, summary, plan)),
        releases=tuple(_releases(entries)),
        cohort=_cohort(results),
        result=_result(results),
        budget_epsilon=summary.epsilon_max if summary else None,
        budget_delta=summary.delta if summary else None,
        ledger_head=hospital.ledger.head,
        ledger_entries=summary.num_entries if summary else 0,
        log_size=newest.size if newest else 0,
        log_root=newest.root.hex() if newest else "",
    )


def _cohort(found: OwnResults) -> CohortFacts | None:
    cohort = found.cohort
    if cohort is None:
        return None
    return CohortFacts(
        version=cohort.version,
        frozen_at=cohort.frozen_at,
        frozen_by=cohort.by,
        digest=cohort.digest,
        contract=cohort.contract,
        source=f"{cohort.source.kind} {cohort.source.name}",
        source_sha256=cohort.source.sha256,
        has_left=found.has_left,
    )


def _result(found: OwnResults) -> ResultFacts | None:
    if found.announced is None:
        return None
    return ResultFacts(
        model=found.announced.model,
        about_model=found.about_model,
        about_figures=found.about_figures,
        has_own_model=found.personalised_file is not None,
        figures={one.name: Interval(**one.to_interval()) for one in found.figures},
    )


def _summary(hospital: SiteDatabase) -> LedgerSummary | None:
    try:
        return hospital.ledger.summary()
    except PolicyRefused:  # no budget was opened
        return None


def _study(
    home: Path, site: str, digest: str, *, together: bool
) -> tuple[StudyFacts | None, PrivacyPlan | None]:
    try:
        study, _ = StudyStore(home / "studies").read(digest)
    except StudyRefused:  # it asked to run and was never approved
        return None, None
    plan = PrivacyPlan.at(study, site)
    facts = StudyFacts(
        name=study.name,
        title=study.title,
        purpose=study.purpose,
        sites=tuple(study.site_names),
        threshold=study.fewest_with(site),
        colluders=study.aggregation.colluders,
        bands=study.privacy.bands,
        training=training_description(study.model_dump(mode="json")),
        plan=_plan(study, site, plan, together=together) if plan else None,
    )
    return facts, plan


def _plan(study: Study, site: str, plan: PrivacyPlan, *, together: bool) -> PlanFacts | None:
    privacy = study.privacy_of(site)
    if not isinstance(privacy, PatientPrivacy):
        return None
    joint = joint_prices(study, site) if together else None
    return PlanFacts(
        unit=privacy.unit,
        mode=privacy.mode,
        delta=plan.delta,
        epsilon=plan.epsilon,
        evaluation_epsilon=plan.evaluation_epsilon,
        epsilon_two_hospitals=joint.two_hospitals if joint else None,
        epsilon_group_of_two=joint.group_of_two if joint else None,
        epsilon_group_of_three=joint.group_of_three if joint else None,
        fallback_epsilon=plan.fallback_epsilon,
    )


def _costs(
    entries: list[Entry],
    budget: Budget | None,
    summary: LedgerSummary | None,
    plan: PrivacyPlan | None,
) -> Iterator[CostFacts]:
    if budget is None or summary is None:
        return
    promised = {"training": plan.epsilon, "evaluation": plan.evaluation_epsilon} if plan else {}
    ended = (State.SETTLED, State.FREED)
    closed = {entry.parent for entry in entries if entry.state in ended}
    plans = [entry for entry in entries if entry.state is State.RESERVED]
    for round_kind, payers in dict.fromkeys((entry.round_kind, entry.partition) for entry in plans):
        own = [e for e in entries if (e.round_kind, e.partition) == (round_kind, payers)]
        line = summary.dearest if payers == "both" else summary.of(payers)
        yield CostFacts(
            round_kind=round_kind,
            payers=payers,
            epsilon=promised.get(round_kind),
            share_reserved=budget.share(_rho(own, State.RESERVED)),
            share_sent=budget.share(_rho(own, State.SENT)),
            is_open=any(e.number not in closed for e in own if e.state is State.RESERVED),
            spent_by_all=line.spent,
            remaining=line.remaining,
        )


def _rho(entries: list[Entry], state: State) -> Rho:
    return sum((entry.rho for entry in entries if entry.state is state), NOTHING)


def _releases(entries: list[Entry]) -> Iterator[ReleaseFacts]:
    for entry in entries:
        if entry.state is State.SENT:
            yield ReleaseFacts(
                number=entry.number,
                sent_at=entry.created_at,
                round_kind=entry.round_kind,
                context=entry.context,
                blob=entry.blob,
                is_paid_here=bool(entry.rho),
            )
