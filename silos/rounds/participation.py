"""One hospital's part in one run: what it agreed to, and what it will not do.

Rules, even against a hostile coordinator:

1. It answers only in a context that is the one it computes itself: its study,
   roster, participants, threshold, layout, weights and privacy plan, and the digest
   of the very model bytes it was sent.
2. Training starts from the study's own first parameters and goes on from what
   the coordinator's log names as the last result, or from where the run's
   course goes on after an evaluation (``log_check``); rounds and
   their draws only go forward, and spare draws are counted (``draws``).
3. A repeated request gets the same bytes. Another attempt of a draw gets the
   same noised vector under another mask, at no charge, and reveals it among one
   set of sites only. Another draw is noised anew and paid.
4. It shares nothing with a member whose machine has not shown what this
   hospital's policy asks for (``silos.config.attestation``).
5. Before each step it asks who of its patients has left; they are drawn no more
   (``silos.patients.withdrawals``).
6. The ledger holds SENT, durably, before the masked bytes exist outside this
   object; the envelope carries the ledger's head.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from compliance.ledger.entries import SentToken
from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.privacy.events import SampledGaussian
from protocol.encoding import digest
from protocol.errors import MessageRefused, ModelMissing, OutOfOrder, PolicyRefused
from protocol.identity.roster import Member, Roster, SigningKey
from protocol.log.cosignature import site_cosigner
from protocol.log.witness_policy import WitnessPolicy
from protocol.secagg.client import SecAggClient, opened_round
from protocol.secagg.context import RoundContext
from protocol.secagg.log_proof import SentEvent, SignedHead
from protocol.secagg.messages import HeldHead, sign_message
from protocol.study.privacy import DistributedPrivacy
from protocol.study.rounds.noise_shares import share_multiplier
from protocol.study.rounds.round_vector import RoundVector, round_vector
from protocol.study.rounds.sent_sum import is_sum, model_after, read_sum
from protocol.study.strategies.local_steps import LocalEnd
from protocol.study.strategies.registry import personal_model
from protocol.study.strategies.sent_slots import without_slots
from protocol.study.study import Study
from protocol.transport.privacy_summary import NamedApproval, Summary
from protocol.transport.snapshot import cosign_snapshot, parse_snapshot
from protocol.transport.steps import SNAPSHOT, Reply, Request, Traffic
from protocol.vectors.fixed_point import encode_counts
from protocol.vectors.keystream import RingVector
from protocol.vectors.tensors import (
    Tensors,
    decode_tensors,
    encode_tensors,
    layout_of,
    model_digest,
)
from silos.config.patient_statement import NOTHING_STATED, PatientStatement
from silos.database.database import SiteDatabase
from silos.patients.withdrawals import LeftInRun, PatientsInRun
from silos.rounds.draws import Draws, Noised
from silos.rounds.openings.context_check import ContextCheck
from silos.rounds.openings.log_check import HeadRule, check_log, check_own_event
from silos.rounds.openings.log_heads import LogHeads
from silos.rounds.openings.rollback_evidence import require_own_head
from silos.rounds.own_states import OwnStates
from silos.rounds.snapshot_check import require_own_snapshot
from silos.training.counting.evaluation_counts import noised_counts
from silos.training.randomness import Entropy, RoundInput
from silos.training.second_opinion import SecondOpinion

log = logging.getLogger("collegium.silo")

Ints = NDArray[np.int64]


class LocalTrainer(Protocol):
    """The trainer that a participation needs, at one hospital."""

    dataset_digest: str
    engine: str

    def initial_model(self) -> Tensors:
        """Returns the parameters that the study's seed gives."""

    def second_opinion(
        self, event: SampledGaussian | None, delta: float
    ) -> Mapping[str, str | float | None]:
        """Returns the fields of a ``SecondOpinion``; see ``Trainer.second_opinion``."""

    def update(self, given: RoundInput, entropy: Entropy) -> LocalEnd:
        """Returns this hospital's change of the model, already noised, and its own state."""

    def noised_sum(self, given: RoundInput, entropy: Entropy) -> NDArray[np.int64]:
        """Returns the (size,) clipped gradients of one step with this hospital's noise share."""

    def leave_out(self, train: Ints, test: Ints) -> None:
        """Draws and counts these patients, by their numbers in each part, no more from now on."""

    def counts(self, model: Tensors, own: Tensors | None = None) -> tuple[Ints, Ints, Ints]:
        """Returns (2, bins) score counts, a (2, 2) table of the test patients, and the grid."""


class Participation:
    """Answers one run's rounds for one hospital."""

    def __init__(
        self,
        *,
        site: str,
        run_id: str,
        study: Study,
        roster: Roster,
        coordinator_public: bytes,
        key: SigningKey,
        database: SiteDatabase,
        plan: PrivacyPlan | None,
        trainer: LocalTrainer,
        entropy: Entropy,
        opinion: SecondOpinion,
        patients: PatientsInRun,
        stated: PatientStatement = NOTHING_STATED,
        require_machines: Callable[[Iterable[Member]], None] | None = None,
        keep_model: Callable[[Tensors, Tensors | None], None] | None = None,
        witnesses: WitnessPolicy | None = None,
        approvals: tuple[NamedApproval, ...] = (),
        threads: int = 1,
    ) -> None:
        self.site, self.run_id, self.study, self.plan = site, run_id, study, plan
        self._threads = threads
        self._require_machines, self._keep_model = require_machines, keep_model
        self.trainer, self.opinion = trainer, opinion
        self.stated, self.patients, self.approvals = stated, patients, approvals
        #: Who else must have cosigned a round's head, as this hospital's site file says now.
        self.witnesses = witnesses
        self.key = key
        self._roster = roster
        self._coordinator = coordinator_public
        self._database = database
        self._signing_record = database.signing_record()
        self._draws = Draws(
            self._signing_record.of(run_id),
            spare=study.spare_draws if plan else None,
            schedule=study.evaluations,
        )
        self._own = OwnStates(database.own_states, run_id, study.training.late_discount)
        self._heads = LogHeads(database, coordinator_public)
        self._cosigners = [site_cosigner(one, roster.key_of(one)) for one in study.site_names]
        self._ledger = database.ledger
        self._entropy = entropy
        self._contexts = ContextCheck(
            site=site,
            run_id=run_id,
            study=study,
            roster_digest=roster.digest,
            initial=trainer.initial_model(),
        )
        self._vector: RoundVector | None = None  # of the training round that is open
        self._round: SecAggClient | None = None
        self._masked: Reply | None = None
        self._untold: LeftInRun | None = None
        self._model: Tensors | None = None
        self._token: SentToken | None = None
        self._buffer: RingVector | None = None  # a vector's memory, for the next round's vector
        self._kept: str | None = None
        self._sent: SentEvent | None = None  # what the coordinator has taken from us last
        #: What has crossed since this process joined the run.
        self.traffic = Traffic()

    @property
    def is_secret(self) -> bool:
        """False when the noise is a test's and can be repeated from the seed."""
        return self._entropy.is_secret

    @property
    def token(self) -> SentToken | None:
        """The ledger's token that the newest masked vector is paid for; None where nothing is."""
        return self._token

    @property
    def known_head(self) -> SignedHead | None:
        """The newest head of the coordinator's log that this hospital holds."""
        return self._heads.newest()

    @property
    def sent(self) -> str | None:
        """The digest of the message that the log must be shown to hold; None before any."""
        return None if self._sent is None else self._sent.message

    def initial_model(self) -> bytes:
        """Returns the safetensors bytes of the parameters that the study's seed gives."""
        return encode_tensors(self.trainer.initial_model())

    def answer(self, request: Request) -> Reply:
        """Returns the reply to one step of a round; what crossed is counted.

        Raises:
            FederationError: the step is refused; the reason must stay in the hospital.
        """
        self.traffic.came(request)
        reply = self._answer(request)
        self.traffic.went(reply)
        if request.step == "unmask" and self._round is not None:
            context = self._round.context
            log.info(
                "run %s: %s: %d bytes sent, %d received, of the run so far",
                self.run_id, self.study.evaluations.place(context.round_kind, context.round),
                self.traffic.sent, self.traffic.received,
            )  # fmt: skip
        return reply

    def _answer(self, request: Request) -> Reply:
        if request.step == "advertise":
            return Reply(message=self._open(request))
        if self._round is None:
            raise OutOfOrder(f"step {request.step} came before a round was opened")
        if request.step == "share":
            return self._share(self._round, request)
        if request.step == "masked":
            return self._masked or self._contribute(self._round, request)
        if request.step == "consistency":
            return self._confirm(self._round, request)
        if request.step == "unmask":
            return self._reveal(self._round, request)
        raise OutOfOrder(f"there is no step {request.step!r}")

    def sign_snapshot(self, message: bytes, own: Summary) -> Reply:
        """Signs the snapshot of the run's final model, once that is what this hospital knows.

        Args:
            message: the snapshot as the coordinator signed it.
            own: this hospital's summary of the run.

        Raises:
            MessageRefused: it is not the coordinator's, or another was signed in this run.
            PolicyRefused: it says something else than this hospital knows.
        """
        signed = parse_snapshot(message)
        signed.require_of(self._coordinator)
        initial = self.trainer.initial_model()
        require_own_snapshot(
            signed.snapshot,
            run_id=self.run_id,
            study=self.study,
            roster=self._roster,
            initial=model_digest(initial),
            layout=layout_of(without_slots(initial)),
            evaluated=self._draws.evaluated,
            own=own,
        )
        self._signing_record.record((self.run_id, SNAPSHOT, signed.snapshot.digest))
        return Reply(message=cosign_snapshot(signed.snapshot, self.key))

    def settle(self) -> None:
        """Closes the reservations: what was not sent becomes free again, what was sent never."""
        self._drop_kept()
        self._own.forget()
        if self.plan is not None:
            self.plan.settle(self._ledger)

    def _open(self, request: Request) -> bytes:
        opening = opened_round(request.message, self._coordinator)
        context = opening.context
        if self._round is not None and self._round.context == context:
            return self._round.advertise()  # asked again, the same bytes again
        model = self._model_sent(context, request.blob)
        self._draws.require_due(context)
        self._contexts.require(context, model)
        if opening.own is not None:
            require_own_head(opening.own, self.site, self.key, self._database)
        head = check_log(
            opening,
            self._heads,
            self.study,
            self._draws.evaluated,
            HeadRule(cosigners=self._cosigners, witnesses=self.witnesses),
        )
        if isinstance(head, HeldHead):
            return sign_message(head, context=context.digest, sender=self.site, key=self.key)
        event = check_own_event(opening, self._sent)
        opened = SecAggClient(
            context=context,
            site=self.site,
            key=self.key,
            roster=self._roster,
            coordinator_public=self._coordinator,
            guard=self._heads.keeping(head, event),
            min_sites=self.study.aggregation.min_sites,
            own_cells=self.study.evaluation_vector.own_cells,
            among=self._draws.among(context),
        )
        training = context.round_kind == "training"
        vector = round_vector(self.study, model, context.round) if training else None
        advert = opened.advertise()  # refused when this round was begun before a restart
        self._drop_kept()
        self._round, self._model, self._masked = opened, model, None
        self._vector = vector
        if self._keep_model is not None and self._may_be_final(context):
            self._keep_model(model, self.personal_model(model))
        return advert

    def _may_be_final(self, context: RoundContext) -> bool:
        """Whether the run may end with a round's model: the last, or one that it may go back to."""
        if context.round_kind != "evaluation":
            return False
        last = context.round == self.study.training.rounds
        return last or self.study.evaluation.roll_back is not None

    def _rounds_before(self, context: RoundContext) -> int:
        """Returns how many training rounds come before a round."""
        return self.study.evaluations.rounds_before(context.round_kind, context.round)

    def _model_sent(self, context: RoundContext, blob: bytes | None) -> Tensors:
        """Returns a round's model: as it was sent, or as it follows from what this hospital holds.

        Raises:
            ModelMissing: it does not follow.
        """
        if self.study.communication is None or (blob and not is_sum(blob)):
            return decode_tensors(blob or b"")
        number = self._rounds_before(context) - 1
        before, held = self._round.context if self._round else None, self._model
        if before is not None and held is not None and before.model_hash == context.model_hash:
            return held
        follows: Tensors | None = None
        sites: Collection[str] | None = None
        if not blob and number < 0:
            follows = self.trainer.initial_model()
        elif blob and held and before and self._rounds_before(before) == number:
            sent = read_sum(self.study, held, number, blob)
            follows = model_after(self.study, held, number, sent)
            sites = sent.survivors
        if follows is None or model_digest(follows) != context.model_hash:
            raise ModelMissing(
                "no model is held from which the round's follows: it is asked for as a whole"
            )
        if sites is not None and self.site in sites:
            self._own.summed(number)
        elif sites is not None:
            self._own.missed(number)
        return follows

    def personal_model(self, model: Tensors) -> Tensors | None:
        """Returns the model that this hospital uses in place of the final one; None: it is that."""
        return personal_model(self.study.training, model, self._own.newest())

    def _share(self, opened: SecAggClient, request: Request) -> Reply:
        header, entries = opened.share(request.message)
        if self._require_machines is not None:
            others = set(opened.sharers) - {self.site}
            self._require_machines(m for m in self._roster.members if m.site in others)
        return Reply(message=header, blob=entries)

    def _drop_kept(self) -> None:
        """Drops the masked bytes of a round that can no longer be asked for."""
        if self._kept is not None:
            self._database.drop_blob(self._kept)
            self._kept = None

    def _contribute(self, silo_round: SecAggClient, delivery: Request) -> Reply:
        try:
            silo_round.accept_shares(delivery.message, delivery.blob or b"")
        except MessageRefused as error:
            log.warning("run %s: %s", self.run_id, error)
            try:
                return Reply(message=silo_round.complaint())
            except OutOfOrder:  # nobody can be named
                raise error from None
        context = silo_round.context
        if self._model is None:
            raise OutOfOrder("no model was received")
        noised = self._draws.held(context)
        if noised is None:
            noised = self._drawn(context, self._model)
            self._draws.hold(context, noised)
        counted = self.study.evaluation_vector.size  # behind it: this hospital's table and grid
        own = counted if context.round_kind == "evaluation" else len(noised)
        vector, table = self._encoded(context, noised[:own]), tuple(map(int, noised[own:]))
        blob = bytes(silo_round.mask(vector, table=table, threads=self._threads))
        self._kept = context.digest
        self._database.keep_blob(context.digest, blob, silo_round.blob)
        head = self._charge(context, silo_round)
        if context.round_kind == "training":  # an evaluation makes no update late
            self._own.paid(context)
        self._masked = Reply(message=silo_round.masked_message(ledger_head=head), blob=blob)
        return self._masked

    def _confirm(self, silo_round: SecAggClient, delivery: Request) -> Reply:
        confirmed = Reply(message=silo_round.confirm(delivery.message))
        self._own.arrived(silo_round.context)
        return confirmed

    def _reveal(self, silo_round: SecAggClient, delivery: Request) -> Reply:
        revealed = Reply(message=silo_round.reveal(delivery.message))
        if silo_round.revealed_among is not None:
            self._own.keep(silo_round.context)
            if self._masked is not None:  # who reveals was named among the survivors
                message = digest(self._masked.message)
                self._sent = SentEvent(context=silo_round.context, message=message)
            self._draws.reveal(silo_round.context, silo_round.revealed_among)
        return revealed

    def _drawn(self, context: RoundContext, model: Tensors) -> Noised:
        """Returns what a round is given: computed from patients, and noised.

        Whoever has left until now is in none of it; the work is the same for any patients.
        """
        left = self.patients.left() or self._untold
        if left is not None:
            self._untold = left  # until the trainer has heard it: else it would not be told again
            self.trainer.leave_out(left.train, left.test)
            self._untold = None
        given = RoundInput(
            model=model,
            number=context.round,
            attempt=context.attempt,
            noise_multiplier=self._noise_multiplier(context),
            own=self._own.before(context),
        )
        if context.round_kind != "training":
            return self._noised_counts(given)
        if isinstance(self.study.privacy, DistributedPrivacy):
            return self.trainer.noised_sum(given, self._entropy)
        end = self.trainer.update(given, self._entropy)
        self._own.made(context, end)
        return end.update

    def _noise_multiplier(self, context: RoundContext) -> float | None:
        """Returns how much noise this hospital adds in a round; None without privacy."""
        if self.plan is None:
            return None
        if context.round_kind != "training":
            return self.plan.evaluation.noise_multiplier
        if isinstance(self.study.privacy, DistributedPrivacy):
            return share_multiplier(self.study, self.study.privacy)
        return self.plan.training.noise_multiplier

    def _encoded(self, context: RoundContext, noised: Noised) -> RingVector:
        """Returns a noised vector as fresh ring elements: masking overwrites them."""
        if context.round_kind != "training":
            return encode_counts(noised.astype(np.int64, copy=False))
        if self._vector is None:
            raise OutOfOrder("no training round is open")
        words = self._vector.encode(self.site, noised, self._buffer)
        self._buffer = None if self._vector.is_shared else words
        return words

    def _charge(self, context: RoundContext, silo_round: SecAggClient) -> str:
        """Makes SENT durable and returns the ledger's head after it."""
        if self.plan is None:
            return self._ledger.head
        if context.round_kind == "training":
            reservation = self.plan.training_reservation
            event = replace(self.plan.training, steps=self.study.priced_steps_of_round)
        else:
            reservation = self.plan.evaluation_reservation
            event = replace(self.plan.evaluation, steps=1)
        if reservation is None:
            raise PolicyRefused("nothing is reserved for this run: nothing may be sent")
        token = self._ledger.mark_sent(
            reservation,
            context=context.digest,
            event=event,
            blob=silo_round.blob,
            content=silo_round.content,
            run=self.run_id,
        )
        self._token = token
        return token.head

    def _noised_counts(self, given: RoundInput) -> NDArray[np.int64]:
        """Returns the noised counts and, behind them, this hospital's noised table and its grid."""
        return noised_counts(self.study, self.site, self.trainer, given, self._entropy)
