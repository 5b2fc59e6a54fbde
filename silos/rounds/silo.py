"""The hospital: identity, ledger, records, and its part in each run it joined.

Two kinds of caller, and two kinds of answer. The hospital's own people join a
run and read why something was refused. The coordinator only ever reaches
``answer``: signed bytes in, signed bytes out, or the class of a refusal.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from compliance.ledger.privacy_plan import CALENDAR, PrivacyPlan
from pipelines.cohort.loading import Records, load_cohort
from pipelines.cohort.partitioning import partition_records
from pipelines.cohort.plausibility import implausible, require_plausible
from pipelines.sources.description import described
from pipelines.sources.source import BundledRecords, RecordFile, Source
from protocol.errors import (
    BudgetSpent,
    CohortRefused,
    FederationError,
    PolicyRefused,
    StudyRefused,
)
from protocol.identity.roster import Member
from protocol.log.witness import with_event
from protocol.study.privacy import PatientPrivacy, Privacy
from protocol.study.study import BUNDLED, FileSplit, Study
from protocol.transport.privacy_summary import SignedSummary, Summary, open_summary, sign_summary
from protocol.transport.steps import COSIGN, SNAPSHOT, Reply, Request
from protocol.vectors.tensors import Tensors
from silos.config.attestation import MachineCheck
from silos.config.patient_statement import (
    STATE_IT,
    missing_statement,
    patient_is,
    sides_of,
    stays_on_one_side,
)
from silos.config.study_authorization import StudyTerms
from silos.database.database import SiteDatabase, open_hospital
from silos.database.identity_keys import IdentityKeys
from silos.database.patient_sides import remember_sides
from silos.patients.frozen_cohorts import FrozenCohorts
from silos.patients.own_records import OwnRecords, columns_for, divided
from silos.patients.wishes import PatientWishes
from silos.patients.withdrawals import PatientsInRun, frozen_for
from silos.rounds.invitation import Invitation
from silos.rounds.joint_prices import joint_prices
from silos.rounds.openings.cosigning import cosign_head
from silos.rounds.openings.log_heads import LogHeads
from silos.rounds.openings.rollback_evidence import SignedLedgerHeads
from silos.rounds.own_states import OwnStates
from silos.rounds.participation import LocalTrainer, Participation
from silos.rounds.release_gate import require_paid
from silos.training.randomness import Entropy, FixedEntropy, SecretEntropy
from silos.training.second_opinion import second_opinion_of

log = logging.getLogger("collegium.silo")

#: How many runs a hospital remembers its last refusal of.
_MAX_REASONS = 100
#: A simulation's invitation names the records, and only the budget limits its runs.
_IN_SIMULATION = StudyTerms(runs=None, source=None)

MakeTrainer = Callable[[Study, str, Records, Records], LocalTrainer]


class Silo:
    """One hospital's software, the same in every kind of process."""

    def __init__(
        self,
        site: str,
        home: Path,
        make_trainer: MakeTrainer,
        *,
        simulated: bool,
        split_key: bytes | None = None,
        hospital: SiteDatabase | None = None,
        authorization: Callable[[Study], StudyTerms] | None = None,
    ) -> None:
        if split_key is not None and not simulated:
            raise PolicyRefused("a real hospital draws its split key itself and shows it to nobody")
        self.site = site
        if authorization is None and not simulated:
            raise PolicyRefused("a real hospital is asked to authorize every study")
        self._database = hospital or open_hospital(
            home / "hospital.db", site=site, split_key=split_key, simulated=simulated
        )
        self._authorization = authorization
        self._ledger = self._database.ledger
        self._ledger.verify()
        self._ledger.require_newest()
        self._keys = IdentityKeys(self._database)
        self._make_trainer = make_trainer
        self._simulated = simulated
        self._runs: dict[str, Participation] = {}
        self._reasons: dict[str, str] = {}
        self._coordinator: bytes | None = None  # whose run was joined last

    @property
    def member(self) -> Member:
        """This hospital's name and public identity key."""
        return Member(site=self.site, public_key=self._keys.own.public.hex())

    def grant(self, epsilon_max: float, delta: float, unit: str = "patient") -> None:
        """Opens the life-long budget of this hospital's patients; once, by the hospital."""
        self._ledger.open_budget(
            epsilon_max=epsilon_max, delta=delta, signed_by=self.site, unit=unit
        )

    @property
    def has_budget(self) -> bool:
        """Whether the budget of this hospital's patients was opened."""
        try:
            self._ledger.summary()
        except PolicyRefused:
            return False
        return True

    def settle_killed(self) -> None:
        """Closes the plans of a simulation's runs that nobody carries on: what is unused is free.

        Raises:
            PolicyRefused: this is a real hospital, whose runs go on after a restart.
        """
        if not self._simulated:
            raise PolicyRefused("a real hospital's runs go on: collegium silo run leave ends one")
        OwnStates.forget_all(self._database.own_states)
        for run in {plan.run for plan in self._ledger.open_plans()}:
            if not run.startswith(CALENDAR):  # which goes on with the study's next run
                self._ledger.settle_run(run)

    def join(self, invitation: Invitation) -> SignedSummary:
        """Approves a study, reserves its whole cost and gets ready to train.

        Nothing is computed on a patient before the reservation stands.

        Raises:
            FederationError: the records, the policy or the budget do not allow it.
        """
        study, run_id = invitation.study, invitation.run_id
        if run_id in self._runs:
            raise PolicyRefused(f"site {self.site} has already joined run {run_id}")
        if self.site not in study.site_names:
            raise PolicyRefused(f"site {self.site} is not in study {study.name}")
        terms = _IN_SIMULATION if self._authorization is None else self._authorization(study)
        self._refuse_rollback(invitation.signed_heads)
        self._coordinator = invitation.coordinator_public
        LogHeads(self._database, self._coordinator).require_unforked()
        entropy = self._entropy(invitation)
        require_machines = _machine_check(invitation, terms)
        wishes = PatientWishes(self._database, terms.rules, terms.home)
        own = self._records(invitation, terms, wishes)
        patients = PatientsInRun(
            self._database,
            study,
            run_id,
            own,
            wishes,
            source=lambda: described(self._named(invitation, terms)),
            freezes=self._authorization is None,
        )
        key = self._keys.of_run(invitation.roster.key_of(self.site))
        plan = self._reserved(invitation, terms)
        try:
            trainer = self._make_trainer(study, self.site, own.train, own.test)
            patients.begin()
            self._runs[run_id] = Participation(
                site=self.site,
                run_id=run_id,
                study=study,
                roster=invitation.roster,
                coordinator_public=invitation.coordinator_public,
                key=key,
                database=self._database,
                plan=plan,
                trainer=trainer,
                opinion=second_opinion_of(trainer, plan),
                entropy=entropy,
                stated=terms.stated,
                approvals=terms.approvals,
                require_machines=require_machines,
                keep_model=invitation.keep_model,
                patients=patients,
                witnesses=terms.witnesses,
            )
        except BaseException:
            if plan is not None:
                plan.settle(self._ledger)  # nothing was sent, so all of it becomes free again
            raise
        return self._summary(run_id)

    def has_joined(self, run_id: str) -> bool:
        """Whether this process has a part in a run."""
        return run_id in self._runs

    def signed_summary(self, run_id: str) -> SignedSummary:
        """Returns this hospital's signed summary of a run it has joined, as things stand now."""
        self._joined(run_id)
        return self._summary(run_id)

    def initial_model(self, run_id: str) -> bytes:
        """Returns the safetensors bytes of the parameters that the study's seed gives."""
        return self._joined(run_id).initial_model()

    def cosign(self, request: Request, coordinator_public: bytes) -> Reply:
        """Cosigns a head of the log, in a run or after it; a refusal crosses as its class name.

        Args:
            request: in the form of a step; its run only says where it is asked.
            coordinator_public: the key that signs the log.
        """
        run, joined = request.run_id, self._runs.get(request.run_id)

        def cosigned() -> Reply:
            heads = LogHeads(self._database, coordinator_public)
            key = joined.key if joined else self._keys.own
            line = cosign_head(request.message, heads, site=self.site, key=key, run=run)
            reply = Reply(message=with_event(line, joined.sent if joined else None))
            if joined:
                joined.traffic.came(request)
                joined.traffic.went(reply)
            return reply

        return self._guarded(request, cosigned)

    def answer(self, request: Request) -> Reply:
        """Answers the coordinator; a refusal crosses as its class name only."""
        if request.step == COSIGN and self._coordinator is not None:
            return self.cosign(request, self._coordinator)
        return self._guarded(request, lambda: self._step(request))

    def _step(self, request: Request) -> Reply:
        joined = self._joined(request.run_id)
        if request.step == SNAPSHOT:
            own = open_summary(self._summary(request.run_id), joined.key.public)
            return joined.sign_snapshot(request.message, own)
        if request.step == "advertise" and self._authorization is not None:
            terms = self._authorization(joined.study)  # before every round: it may be withdrawn
            joined.patients.follow(terms.rules)
            joined.witnesses = terms.witnesses
        reply = joined.answer(request)
        if request.step == "masked" and reply.blob is not None and joined.plan is not None:
            require_paid(self._ledger, joined.token, reply.blob)
        return reply

    def _guarded(self, request: Request, work: Callable[[], Reply]) -> Reply:
        try:
            return work()
        except FederationError as error:
            self._keep_reason(request.run_id, str(error))
            log.warning("run %.80r, step %.20r refused: %s", request.run_id, request.step, error)
            return Reply(refusal=type(error).__name__)
        except Exception as error:
            reason = f"site {self.site}: {type(error).__name__}, see its log"
            self._keep_reason(request.run_id, reason)
            log.exception("run %.80r, step %.20r failed", request.run_id, request.step)
            return Reply(refusal=FederationError.__name__)

    def _keep_reason(self, run_id: str, reason: str) -> None:
        """Keeps the newest reasons only: requests under ever new names fill no memory."""
        self._reasons.pop(run_id, None)
        self._reasons[run_id] = reason
        if len(self._reasons) > _MAX_REASONS:
            del self._reasons[next(iter(self._reasons))]

    def reason(self, run_id: str) -> str | None:
        """Returns why this hospital last refused in a run: for its own people."""
        return self._reasons.get(run_id)

    def leave(self, run_id: str) -> SignedSummary:
        """Settles the ledger to what was really sent and drops the run's data."""
        self._joined(run_id).settle()
        signed_summary = self._summary(run_id)
        del self._runs[run_id]
        return signed_summary

    def personal_model(self, run_id: str, model: Tensors) -> Tensors | None:
        """Returns the model that this hospital uses in place of a run's final one, if another."""
        return self._joined(run_id).personal_model(model)

    def simulated_part(self, run_id: str) -> LocalTrainer:
        """Returns the trainer itself, for exact figures that only a simulation may compute.

        Raises:
            PolicyRefused: this is a real hospital.
        """
        if not self._simulated:
            raise PolicyRefused("exact figures never leave a hospital")
        return self._joined(run_id).trainer

    def _joined(self, run_id: str) -> Participation:
        try:
            return self._runs[run_id]
        except KeyError:
            raise PolicyRefused(f"site {self.site} has not joined run {run_id}") from None

    def _refuse_rollback(self, signed_heads: SignedLedgerHeads) -> None:
        """Refuses to go on with a ledger that is older than what this hospital once signed.

        Raises:
            LedgerBroken: the ledger went back in time.
        """
        heads = signed_heads.ledger_heads(self.site, self._keys.public())
        self._ledger.verify(remembered=heads)

    def _entropy(self, invitation: Invitation) -> Entropy:
        if invitation.fixed_noise_seed is None:
            return SecretEntropy()
        return FixedEntropy(invitation.fixed_noise_seed, simulated=self._simulated)

    def _records(
        self, invitation: Invitation, terms: StudyTerms, wishes: PatientWishes
    ) -> OwnRecords:
        study = invitation.study
        whole = self._source(invitation, terms)
        if isinstance(study.split, FileSplit) and not (study.split.sha256 or self._simulated):
            raise PolicyRefused("split.sha256 is missing: the study does not say which split it is")
        if invitation.split_key is not None and not self._simulated:
            raise PolicyRefused("a real hospital splits its patients by its own key, for life")
        missing = missing_statement(study, terms.stated)
        if missing is not None and not self._simulated:
            raise PolicyRefused(f"site {self.site}: {missing}: {STATE_IT}")
        own = divided(
            whole,
            study,
            hospital=self._database,
            wishes=wishes,
            stated=terms.stated,
            key=invitation.split_key or self._database.split_key,
            index=invitation.index_file,
            cohort=frozen_for(FrozenCohorts(self._database), study, invitation.run_id),
        )
        self._warn_of_implausible(own.train, own.test, invitation, terms)
        if stays_on_one_side(study, terms.stated):
            remember_sides(self._database, sides_of(own.train, own.test))
        return own

    def _warn_of_implausible(
        self, train: Records, test: Records, invitation: Invitation, terms: StudyTerms
    ) -> None:
        """Logs, for this hospital's people, why its records are implausible.

        A hospital that reads a file of its own takes part all the same: the study's author
        chose the ranges, and staying out would answer a question about the records. A
        simulation, which names the files itself, is refused; but not where a study monitors,
        which is to see just that.
        """
        cohort = invitation.study.cohort
        if terms.source is None and invitation.study.calendar is None:
            require_plausible(train, test, cohort=cohort, site=self.site)
        for fault in implausible(train, test, cohort=cohort):
            log.warning("run %s: of this hospital's records, %s", invitation.run_id, fault)

    def _source(self, invitation: Invitation, terms: StudyTerms) -> Records:
        study = invitation.study
        records = load_cohort(
            study.cohort,
            self._named(invitation, terms),
            site=self.site,
            keep=columns_for(study, terms.stated),
            groupings=study.evaluation.groups.values()
            if study.partition is not None
            else study.groupings_of(self.site),
        )
        return (
            records
            if study.partition is None
            else partition_records(records, study.partition, study.sites)[self.site]
        )

    def _named(self, invitation: Invitation, terms: StudyTerms) -> Source:
        """Returns what reads the records of a study here."""
        study = invitation.study
        named = (
            study.site(self.site).records if study.partition is None else study.partition.records
        )
        if not self._simulated and (study.partition is not None or named == BUNDLED):
            raise PolicyRefused(
                "partitioned and bundled records stand in for hospitals in simulations"
            )
        if terms.source is not None:
            return terms.source
        if named is None:
            raise StudyRefused(f"sites: {self.site} names no records; add its file")
        if named == BUNDLED:
            return BundledRecords()
        if invitation.data is None:
            raise CohortRefused(f"site {self.site}: --data is missing: name the folder of {named}")
        return RecordFile(path=invitation.data / named)

    def _reserved(self, invitation: Invitation, terms: StudyTerms) -> PrivacyPlan | None:
        study, run_id = invitation.study, invitation.run_id
        plan = PrivacyPlan.at(study, self.site)
        if plan is None and not self._simulated:
            raise PolicyRefused("a study without differential privacy is for simulations only")
        if plan is None:
            return None
        if isinstance(study.privacy, PatientPrivacy):
            self._ledger.require_unit(study.privacy.unit)
        try:
            return plan.reserved(
                self._ledger,
                study.digest,
                run_id,
                apart=stays_on_one_side(study, terms.stated),
                max_runs=terms.runs,
            )
        except BudgetSpent as error:
            raise BudgetSpent(f"site {self.site}: {error}") from error

    def _summary(self, run_id: str) -> SignedSummary:
        joined = self._joined(run_id)
        study, plan, privacy = joined.study, joined.plan, joined.study.privacy_of(self.site)
        promised = privacy if isinstance(privacy, PatientPrivacy) else None
        claimed = plan if joined.is_secret else None  # fixed test noise protects nobody
        together = joint_prices(study, self.site) if claimed else None
        spent = self._ledger.summary() if claimed else None
        known = joined.known_head
        return sign_summary(
            Summary(
                site=self.site,
                run_id=run_id,
                study_digest=study.digest,
                unit=promised.unit if promised else "patient",
                patient=patient_is(study, joined.stated, simulated=self._simulated),
                sides="apart" if stays_on_one_side(study, joined.stated) else "together",
                mode=privacy.mode,
                noise=_noise_of(privacy, is_secret=joined.is_secret),
                epsilon=claimed.epsilon if claimed else None,
                delta=claimed.delta if claimed else None,
                epsilon_two_hospitals=together.two_hospitals if together else None,
                epsilon_group_of_two=together.group_of_two if together else None,
                epsilon_group_of_three=together.group_of_three if together else None,
                evaluation_epsilon=claimed.evaluation_epsilon if claimed else None,
                noise_multiplier=plan.training.noise_multiplier if plan else None,
                evaluation_noise_multiplier=plan.evaluation.noise_multiplier if plan else None,
                sampling_rate=privacy.priced_rate,
                steps=study.steps_of(self.site),
                priced_steps=plan.training.steps if plan else study.priced_steps_of(self.site),
                priced_evaluations=plan.evaluation.steps if plan else study.priced_evaluations,
                clip=promised.clip if promised else None,
                budget_epsilon=spent.epsilon_max if spent else None,
                budget_share=spent.dearest.committed if spent else None,
                run_share=self._ledger.share_of(claimed.booked_as(study.digest, run_id))
                if claimed
                else None,
                ledger_head=self._ledger.head,
                log_size=known.size if known else 0,
                log_root=known.root.hex() if known else "0" * 64,
                fallback_epsilon=claimed.fallback_epsilon if claimed else None,
                engine=joined.trainer.engine,
                cohort=joined.patients.cohort.public_id,
                approvals=joined.approvals,
                **vars(joined.opinion),
            ),
            joined.key,
        )


def _machine_check(invitation: Invitation, terms: StudyTerms) -> MachineCheck | None:
    """Returns the check of the members' machines that the hospital's policy asks for, if any."""
    if terms.attestation is None:
        return None
    if invitation.machine_check is None:
        raise PolicyRefused("policy.attestation asks for evidence, and nobody fetches it here")
    return invitation.machine_check(terms.attestation)


def _noise_of(privacy: Privacy, *, is_secret: bool) -> str:
    if not isinstance(privacy, PatientPrivacy):
        return "none"
    return "exact" if is_secret else "fixed test noise"
