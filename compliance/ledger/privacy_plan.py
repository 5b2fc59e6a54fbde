"""The cost of a run for one hospital's patients, priced and reserved before any work.

A plan follows from the study and from what the hospital promises its own
patients (``Study.privacy_of``): the study's epsilon, or a smaller one.
"""

import math
from dataclasses import dataclass, replace

from compliance.facts.formatting import Format, show
from compliance.ledger.entries import PlannedRelease, Reservation
from compliance.ledger.ledger import Ledger
from compliance.privacy.accounting import calibrate, epsilon
from compliance.privacy.events import SampledGaussian
from compliance.privacy.noise import MAX_MULTIPLIER
from compliance.privacy.promised_noise import evaluation_event, training_event
from protocol.errors import FederationError, PolicyRefused, StudyRefused
from protocol.study.privacy import DistributedPrivacy, PatientPrivacy
from protocol.study.rounds.noise_shares import share_multiplier
from protocol.study.study import Study
from protocol.vectors.adaptive_clip import felt_multiplier

#: Noise a thousand times a patient's bound drowns any hospital; the sampler's range ends there.
_MAX_NOISE = 1000.0


#: The beginning of the name under which a ledger books a calendar of releases.
CALENDAR = "calendar-"

#: How much more noise an adaptive clip's count may make training feel.
_MOST_FELT = 2.0


@dataclass(frozen=True, kw_only=True)
class PrivacyPlan:
    """The price of a run: the whole training and all evaluations, priced beforehand.

    Of a study that trains nothing both are its one release of counts. Where columns are counted
    each patient, whether of training or of tests, pays it, once; where a given model is evaluated
    test patients pay it, and training patients nothing. Of a monitoring study they are its whole
    ``calendar``: its first run reserves it, and later runs draw from that one reservation, in the
    study's name.
    """

    delta: float
    training: SampledGaussian
    evaluation: SampledGaussian
    epsilon: float
    evaluation_epsilon: float
    fallback_epsilon: float | None = None
    trains: bool = True
    has_model: bool = True
    calendar: bool = False
    training_reservation: Reservation | None = None
    evaluation_reservation: Reservation | None = None

    @classmethod
    def at(cls, study: Study, site: str) -> "PrivacyPlan | None":
        """Prices a study for one hospital; None when the study protects nobody.

        Raises:
            StudyRefused: the noise does not keep what this hospital promises.
        """
        privacy = study.privacy_of(site)
        if not isinstance(privacy, PatientPrivacy):
            return None
        return cls.of(study, privacy, study.evaluation_epsilon_of(site), site)

    @classmethod
    def of(
        cls,
        study: Study,
        privacy: PatientPrivacy,
        evaluation_epsilon: float | None = None,
        site: str | None = None,
    ) -> "PrivacyPlan":
        """Prices a study under the privacy that a hospital promises: its own rounds, or all.

        Raises:
            StudyRefused: the declared noise multiplier does not keep the promised epsilon.
        """
        event = training_event(study, privacy, site)
        if event.noise_multiplier > _MAX_NOISE:
            raise StudyRefused(
                f"privacy.epsilon {privacy.epsilon:g} needs a noise multiplier of "
                f"{event.noise_multiplier:.0f}: nothing could be learned; raise it, or take fewer "
                "steps"
            )
        if privacy.correlated_noise is not None and event.noise_multiplier > MAX_MULTIPLIER:
            raise StudyRefused(
                f"privacy.correlated_noise: a noise multiplier of {event.noise_multiplier:.4g} is "
                f"more than {MAX_MULTIPLIER:g}, where independent noise is better: leave it out"
            )
        spent = epsilon(event, privacy.delta)
        if not spent <= privacy.epsilon:
            enough = calibrate(
                epsilon=privacy.epsilon, delta=privacy.delta,
                sampling_rate=event.sampling_rate, steps=event.steps,
            )  # fmt: skip
            raise StudyRefused(
                f"privacy.noise_multiplier {privacy.noise_multiplier} gives epsilon "
                f"{show(spent, Format.EPSILON)}, more than the {privacy.epsilon:g} promised: "
                f"raise it to {enough:g}"
                + ("" if privacy == study.privacy else ", or lower the site's sampling_rate")
            )
        if privacy.adaptive_clip is not None:
            _require_countable(study, event.noise_multiplier)
        counting = evaluation_event(study, privacy, evaluation_epsilon)
        return cls(
            delta=privacy.delta,
            training=event,
            evaluation=counting,
            epsilon=spent,
            fallback_epsilon=_fallback(study, event, privacy),
            evaluation_epsilon=epsilon(counting, privacy.delta),
            trains=study.trains,
            has_model=study.has_model,
            calendar=study.calendar is not None,
        )

    @property
    def events(self) -> tuple[SampledGaussian, ...]:
        """The releases, each of which is paid once."""
        return (self.training, self.evaluation) if self.trains else (self.evaluation,)

    def settle(self, ledger: Ledger) -> None:
        """Closes the reservations: what was not sent becomes free again, what was sent never.

        A calendar of which anything was sent stays reserved, for the releases that follow.
        """
        if self.calendar and self._has_begun(ledger):
            return
        for reservation in (self.training_reservation, self.evaluation_reservation):
            if reservation is not None:
                ledger.settle(reservation)

    def booked_as(self, study: str, run_id: str) -> str:
        """Returns the name under which the ledger books this plan for a run of a study."""
        return calendar_name(study) if self.calendar else run_id

    def _require_not_left(self, ledger: Ledger, study: str) -> None:
        """Refuses a calendar of which something was sent and that was closed: it ended for good."""
        name = self.booked_as(study, "")
        is_open = name in {plan.run for plan in ledger.open_plans()}
        if name in ledger.runs_of(study) and not is_open:
            raise PolicyRefused(
                "this hospital has left the study's calendar of releases: a new one is a new study"
            )

    def _has_begun(self, ledger: Ledger) -> bool:
        own = self.evaluation_reservation
        return own is not None and any(
            plan.run == own.run and plan.share_sent > 0 for plan in ledger.open_plans()
        )

    def plans(self, *, apart: bool) -> tuple[PlannedRelease, ...]:
        """Returns what the ledger is charged: the training, and the evaluation.

        What counts training and test patients alike is charged to both.

        Args:
            apart: whether every patient stays a training or a test patient for life;
                else both are charged to everybody, and add up.
        """
        training = PlannedRelease(
            partition="training" if apart else "both", round_kind="training", event=self.training
        )
        evaluation = PlannedRelease(
            partition="evaluation" if apart and self.has_model else "both",
            round_kind="evaluation",
            event=self.evaluation,
        )
        return (training, evaluation) if self.trains else (evaluation,)

    def reserved(
        self,
        ledger: Ledger,
        study: str,
        run_id: str,
        *,
        apart: bool = False,
        max_runs: int | None = None,
    ) -> "PrivacyPlan":
        """Returns the plan with its whole cost reserved.

        Args:
            ledger: the hospital's own.
            study: its digest.
            run_id: whose plan it is.
            apart: see ``plans``.
            max_runs: how many runs of the study were approved; None where nobody has to.

        Raises:
            BudgetSpent: the patients' remaining budget does not suffice; nothing is reserved.
            PolicyRefused: the study has had the runs that were approved, or its calendar was left;
                nothing is reserved.
        """

        def reserve(plan: PlannedRelease) -> Reservation:
            return ledger.reserve(
                study=study,
                run=self.booked_as(study, run_id),
                partition=plan.partition,
                round_kind=plan.round_kind,
                event=plan.event,
                max_runs=max_runs,
            )

        if self.calendar:
            self._require_not_left(ledger, study)
        *first, last = self.plans(apart=apart)
        training = reserve(first[0]) if first else None
        try:
            evaluation = reserve(last)
        except FederationError:
            if training is not None:
                ledger.settle(training)  # nothing was sent, so all of it becomes free again
            raise
        return replace(self, training_reservation=training, evaluation_reservation=evaluation)


def calendar_name(study: str) -> str:
    """Returns the name under which a ledger books the calendar of a monitoring study."""
    return f"{CALENDAR}{study[:16]}"


def _require_countable(study: Study, noise_multiplier: float) -> None:
    """Refuses an adaptive clip whose count would take too much of the bound from the gradient."""
    felt = felt_multiplier(noise_multiplier, study.count_deviation)
    if felt > _MOST_FELT * noise_multiplier:
        much = "nothing but noise" if math.isinf(felt) else f"noise of {felt:.3g}"
        raise StudyRefused(
            f"privacy.adaptive_clip: beside the count of patients within the clip, training would "
            f"feel {much} in place of {noise_multiplier:.3g}: raise privacy.sampling_rate or "
            "epsilon, take fewer steps, or leave adaptive_clip out"
        )


def _fallback(study: Study, event: SampledGaussian, privacy: PatientPrivacy) -> float | None:
    """Returns the epsilon that a hospital's own noise share alone gives; None in other modes."""
    if not isinstance(privacy, DistributedPrivacy):
        return None
    own = share_multiplier(study, privacy)
    return epsilon(replace(event, noise_multiplier=own), privacy.delta)
