"""What a hospital refuses and survives, whoever the coordinator claims to be."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from protocol.errors import FederationError, PolicyRefused, StudyRefused
from protocol.identity.roster import Member
from protocol.log.entry import RESULT
from protocol.secagg.context import RoundContext, round_context
from protocol.secagg.messages import ENTRY_BYTES, peek_type
from protocol.secagg.server import SecAggServer, Step
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.transport.steps import Reply, Request
from protocol.vectors.fixed_point import decode_counts
from protocol.vectors.tensors import Tensors, decode_tensors, encode_tensors, model_digest
from silos.config.study_authorization import StudyTerms
from silos.rounds.participation import LocalTrainer
from silos.rounds.silo import Silo
from silos.training.counting.column_trainer import ColumnTrainer
from tests.support.hospital.coordinator_log import CoordinatorLog
from tests.support.simulated.federation import Federation, LinearTrainer
from tests.support.simulated.studies import STATISTICS_STUDY, TABLE_STUDY, changed, small_study

Replies = Mapping[str, Reply]


class Attack:
    """A coordinator in the attacker's hands, and four honest hospitals that joined a run."""

    def __init__(
        self,
        folder: Path,
        study: Study | None = None,
        join: bool = True,
        trainer: Callable[..., LocalTrainer] = LinearTrainer,
    ) -> None:
        self.federation = Federation(folder, study or small_study(), trainer=trainer)
        if join:
            self.federation.join()
        self.east = self.federation.silos["east"]
        self.key = self.federation.workspace.signing_key()
        self.log = CoordinatorLog(self.key, cosigners=self.federation.cosigners)

    def initial(self) -> Tensors:
        return decode_tensors(self.east.initial_model("run-1"))

    def context(
        self,
        number: int = 0,
        round_kind: str = "training",
        model: Tensors | None = None,
        attempt: int = 0,
        draw: int = 0,
    ) -> RoundContext:
        model = model or self.initial()
        if number:  # a coordinator that logs whatever model it sends
            self.log.append(RESULT, model_digest(model), round=number - 1)
        self.log.log_sent(self.sent(site) for site in self.federation.silos)
        head = self.log.head
        return round_context(
            self.federation.study, run_id="run-1", roster_digest=self.federation.roster.digest,
            round_kind=round_kind, number=number, attempt=attempt, draw=draw,
            log_size=head.size, log_root=head.root.hex(), model=model,
        )  # fmt: skip

    def round(self, context: RoundContext, without: Collection[str] = ()) -> SecAggServer:
        return SecAggServer(
            context=context,
            without=without,
            roster=self.federation.roster,
            key=self.key,
            log_proof=lambda site: self.log.proof(context, self.held(site), self.sent(site)),
        )

    def sent(self, site: str) -> str | None:
        """The digest of what a hospital wants to see in the log, if anything."""
        silo = self.federation.silos[site]
        return silo._joined("run-1").sent if silo.has_joined("run-1") else None

    def held(self, site: str) -> int:
        """How many entries the head has that a hospital holds."""
        head = self.federation.silos[site]._joined("run-1").known_head
        return head.size if head else 0

    def ask(
        self,
        site: str,
        step: Step,
        message: bytes,
        model: Tensors | None = None,
        blob: bytes | None = None,
    ) -> Reply:
        if step is Step.ADVERTISE:
            blob = encode_tensors(model or self.initial())
        request = Request(run_id="run-1", step=step.value, message=message, blob=blob)
        return self.federation.silos[site].answer(request)

    def drive(
        self, context: RoundContext, until: Step | None = None
    ) -> tuple[SecAggServer, Replies]:
        """Goes through the steps of a round; returns the machine and the last step's replies."""
        machine, replies = self.round(context), {}
        for step in Step:
            for site in machine.asked(step):
                blob = machine.attachment(step, site)
                replies[site] = self.ask(site, step, machine.request(step, site), blob=blob)
                if replies[site].refusal is None:
                    machine.receive(step, site, replies[site].message, replies[site].blob)
            if step is until:
                break
            machine.close(step)
        return machine, replies


def test_a_site_that_missed_a_round_is_back_in_the_next(tmp_path: Path) -> None:
    federation = Federation(tmp_path, read_study(changed("rounds: 2", "rounds: 4")))
    missed: list[str] = []

    def lost(site: str, request: Request) -> bool:
        first = request.step == "masked" and len(missed) < 1 and site == "west"
        missed.extend([site] if first else [])
        return first

    federation.link.lost = lost
    federation.run()
    assert ["west" in survivors for _, _, survivors in federation.watch.rounds] == [
        False, True, True, True, True
    ]  # fmt: skip


def test_a_repeated_opening_gets_the_same_bytes_and_loses_nothing(tmp_path: Path) -> None:
    attack = Attack(tmp_path)
    context = attack.context()
    opening = attack.round(context).request(Step.ADVERTISE, "east")
    first = attack.ask("east", Step.ADVERTISE, opening)
    machine, _ = attack.drive(context, until=Step.SHARE)
    machine.close(Step.SHARE)
    assert attack.ask("east", Step.ADVERTISE, opening) == first
    request, entries = machine.request(Step.MASKED, "east"), machine.attachment(Step.MASKED, "east")
    masked = attack.ask("east", Step.MASKED, request, blob=entries)
    assert masked.refusal is None
    assert attack.ask("east", Step.MASKED, request, blob=entries) == masked


def test_no_round_beyond_the_study_and_none_twice(tmp_path: Path) -> None:
    attack = Attack(tmp_path)
    attack.drive(attack.context(0))
    for number in (0, 2, 5):
        opening = attack.round(attack.context(number)).request(Step.ADVERTISE, "east")
        replies = [attack.ask("east", Step.ADVERTISE, opening) for _ in range(2)]
        assert number == 0 or {reply.refusal for reply in replies} == {"OutOfOrder"}
    other = {name: value + np.float32(1) for name, value in attack.initial().items()}
    again = replace(attack.context(1, model=other), attempt=1)
    attack.drive(attack.context(1))
    opening = attack.round(again).request(Step.ADVERTISE, "east")
    assert attack.ask("east", Step.ADVERTISE, opening, other).refusal == "OutOfOrder"
    assert "began from another model" in str(attack.east.reason("run-1"))


def test_the_evaluation_comes_last_and_once(tmp_path: Path) -> None:
    attack = Attack(tmp_path)
    early = attack.round(attack.context(0, "evaluation")).request(Step.ADVERTISE, "east")
    assert attack.ask("east", Step.ADVERTISE, early).refusal == "OutOfOrder"
    attack.drive(attack.context(2, "evaluation"))
    late = attack.round(attack.context(1)).request(Step.ADVERTISE, "east")
    assert attack.ask("east", Step.ADVERTISE, late).refusal == "OutOfOrder"


def test_the_first_round_starts_from_the_studys_own_parameters(tmp_path: Path) -> None:
    attack = Attack(tmp_path)
    crafted = {name: value + np.float32(1e12) for name, value in attack.initial().items()}
    opening = attack.round(attack.context(model=crafted)).request(Step.ADVERTISE, "east")
    assert attack.ask("east", Step.ADVERTISE, opening, crafted).refusal == "PolicyRefused"
    assert "does not start from" in str(attack.east.reason("run-1"))


def test_columns_are_counted_once_whatever_a_hostile_coordinator_asks_for(tmp_path: Path) -> None:
    attack = Attack(tmp_path, read_study(STATISTICS_STUDY), trainer=ColumnTrainer)

    def refused(context: RoundContext, model: Tensors | None = None) -> tuple[str | None, str]:
        opening = attack.round(context).request(Step.ADVERTISE, "east")
        reply = attack.ask("east", Step.ADVERTISE, opening, model)
        return reply.refusal, str(attack.east.reason("run-1"))

    crafted: Tensors = {"weight": np.ones(2, dtype=np.float32)}
    first = attack.context(0, "evaluation")
    assert refused(attack.context(0, "training", crafted), crafted) == (
        "OutOfOrder",
        "training round 0 is not in the study",
    )
    assert refused(attack.context(1, "evaluation"))[0] == "OutOfOrder"
    assert refused(attack.context(0, "evaluation", crafted), crafted)[0] == "PolicyRefused"
    attack.drive(first)
    assert refused(attack.context(0, "evaluation", draw=1, attempt=1)) == (
        "BudgetSpent",
        "no spare draw of the evaluation is left in this run",
    )


@pytest.mark.parametrize("field", ["threshold", "bound", "weights_hash", "dp_event_hash"])
def test_any_other_context_than_the_studys_is_refused(tmp_path: Path, field: str) -> None:
    attack = Attack(tmp_path)
    value: object = {"threshold": 4, "bound": "8.0"}.get(field, "0" * 64)
    forged = replace(attack.context(), **{field: value})  # type: ignore[arg-type]
    opening = attack.round(forged).request(Step.ADVERTISE, "east")
    assert attack.ask("east", Step.ADVERTISE, opening).refusal == "PolicyRefused"
    assert field in str(attack.east.reason("run-1"))


def test_a_swapped_share_accuses_nobody_and_the_right_one_still_works(tmp_path: Path) -> None:
    attack = Attack(tmp_path)
    context = attack.context()
    machine, _ = attack.drive(context, until=Step.SHARE)
    machine.close(Step.SHARE)
    request = machine.request(Step.MASKED, "east")
    honest = machine.attachment(Step.MASKED, "east") or b""
    swapped = honest[:-ENTRY_BYTES] + bytes(ENTRY_BYTES)  # the last entry is west's
    assert attack.ask("east", Step.MASKED, request, blob=swapped).refusal == "MessageRefused"
    right = attack.ask("east", Step.MASKED, request, blob=honest)
    assert peek_type(right.message) == "masked"


def test_only_refusals_by_name_cross_the_border(tmp_path: Path) -> None:
    attack = Attack(tmp_path)

    def leaky(*_: object) -> None:
        raise ValueError("row 7: age 83 of patient east-7")

    attack.east.simulated_part("run-1").update = leaky  # type: ignore[method-assign,assignment]
    _, replies = attack.drive(attack.context(), until=Step.MASKED)
    assert replies["east"] == Reply(refusal="FederationError")
    assert "83" not in str(attack.east.reason("run-1"))


def test_counts_beyond_the_ring_are_saturated_and_charged_not_refused(tmp_path: Path) -> None:
    attack = Attack(tmp_path)
    trainer = attack.east.simulated_part("run-1")
    crowd = np.full((2, 8), 2**40, dtype=np.int64)
    nobody = np.zeros((2, 2), np.int64)
    trainer.counts = lambda model, own=None: (crowd, nobody, np.array([0, 1]))  # type: ignore[method-assign]
    machine, replies = attack.drive(attack.context(2, "evaluation"))
    assert replies["east"].refusal is None
    assert decode_counts(machine.total())[:16].min() > 2**28
    assert attack.east._ledger.summary().of("evaluation").spent > 0


def test_a_join_that_fails_late_gives_back_what_it_reserved(tmp_path: Path) -> None:
    attack = Attack(tmp_path, join=False)

    def broken(*_: object) -> LinearTrainer:
        raise StudyRefused("task.network: too large")

    attack.east._make_trainer = broken
    with pytest.raises(StudyRefused, match="too large"):
        attack.east.join(attack.federation.invitation)
    for partition in ("training", "evaluation"):
        assert attack.east._ledger.summary().of(partition).committed == 0  # type: ignore[arg-type]


def test_a_patient_of_two_studies_with_other_splits_has_paid_for_both_sides(tmp_path: Path) -> None:
    """Nobody knows here who is who for life: so every patient pays for training and for tests."""
    attack = Attack(tmp_path)
    other = read_study(changed("test_fraction: 0.3", "test_fraction: 0.7"))
    before = attack.east._ledger.summary()
    attack.east.join(replace(attack.federation.invitation, study=other, run_id="run-2"))
    after = attack.east._ledger.summary()
    costs = [
        after.of(part).committed - before.of(part).committed for part in ("training", "evaluation")
    ]  # type: ignore[arg-type]
    assert costs[0] == costs[1] > 0


def test_a_study_that_needs_absurd_noise_is_refused_before_it_begins(tmp_path: Path) -> None:
    text = changed("epsilon: 4", "epsilon: 0.02").replace(
        "rounds: 2, local_steps: 2", "rounds: 1000, local_steps: 20"
    )
    attack = Attack(tmp_path, read_study(text), join=False)
    with pytest.raises(StudyRefused, match="nothing could be learned"):
        attack.east.join(attack.federation.invitation)


def test_a_study_without_this_hospital_is_refused(tmp_path: Path) -> None:
    attack = Attack(tmp_path, join=False)
    other = read_study(changed("name: east", "name: eastern"))
    with pytest.raises(PolicyRefused, match="site east is not in study small"):
        attack.east.join(replace(attack.federation.invitation, study=other))


def test_a_summary_of_fixed_noise_claims_nothing(tmp_path: Path) -> None:
    summary = Federation(tmp_path, small_study(), fixed_noise=3).join()["east"]
    assert (summary.epsilon, summary.evaluation_epsilon) == (None, None)
    assert summary.noise == "fixed test noise"


def test_masked_bytes_are_forgotten_when_nobody_can_ask_for_them(tmp_path: Path) -> None:
    federation = Federation(tmp_path, small_study())
    federation.run()
    blobs = federation.workspace.silos / "east" / "hospital-blobs"
    assert len(list(blobs.iterdir())) == 1
    federation.silos["east"].leave("run-1")
    assert list(blobs.iterdir()) == []


def test_a_real_hospital_refuses_records_that_stand_in_for_hospitals(tmp_path: Path) -> None:
    attack = Attack(tmp_path, join=False)
    text = TABLE_STUDY.replace(
        "split: {",
        "partition: {records: east.csv, how: {rule: label_skew, shares: [1, 1, 1, 1], seed: 1}}\n"
        "split: {",
    )
    real = Silo(
        "east",
        tmp_path / "real",
        LinearTrainer,
        simulated=False,
        authorization=lambda _study: StudyTerms(runs=1, source=None),
    )
    real.grant(20.0, 1e-3)
    with pytest.raises(FederationError, match="stand in for hospitals"):
        real.join(replace(attack.federation.invitation, study=read_study(text)))


def test_a_real_hospital_without_an_authorization_is_no_hospital(tmp_path: Path) -> None:
    with pytest.raises(PolicyRefused, match="is asked to authorize every study"):
        Silo("east", tmp_path / "real", LinearTrainer, simulated=False)


def test_a_hospital_that_does_not_authorize_joins_nothing(tmp_path: Path) -> None:
    def refuse(study: Study) -> None:
        raise PolicyRefused(f"not {study.name}")

    federation = Attack(tmp_path, join=False).federation
    silo = Silo("east", tmp_path / "own", LinearTrainer, simulated=True, authorization=refuse)
    silo.grant(20.0, 1e-3)
    with pytest.raises(PolicyRefused, match="not small"):
        silo.join(federation.invitation)


def test_nothing_is_shared_with_members_whose_machines_are_not_accepted(tmp_path: Path) -> None:
    attack = Attack(tmp_path)
    seen: list[tuple[str, ...]] = []
    bad = {"west"}

    def require(members: Iterable[Member]) -> None:
        seen.append(tuple(member.site for member in members))
        if bad & set(seen[-1]):
            raise PolicyRefused("west has shown no evidence")

    attack.east._runs["run-1"]._require_machines = require
    context = attack.context()
    machine, replies = attack.drive(context, until=Step.SHARE)
    assert seen == [("north", "south", "west")]
    assert replies["east"] == Reply(refusal="PolicyRefused")
    machine.close(Step.SHARE)
    others = machine.request(Step.MASKED, "north"), machine.attachment(Step.MASKED, "north")
    skipped = attack.ask("east", Step.MASKED, others[0], blob=others[1])
    assert skipped.refusal is not None and not skipped.message and skipped.blob is None
    bad.clear()  # the evidence has come: the next attempt goes on
    _, replies = attack.drive(attack.context(attempt=1))
    assert replies["east"].refusal is None
