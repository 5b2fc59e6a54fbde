"""Rounds that fail and are tried again: who pays, who is left out, what is the same."""

from pathlib import Path

import pytest

from compliance.ledger_records import State
from coordinator.runner import SUSPECTED
from coordinator.store import RoundRow
from protocol.errors import QuorumLost, SumRefused
from protocol.exchange import Request
from protocol.keystream import Words
from protocol.masking import apply_masks
from protocol.silo_round import SiloRound
from protocol.study_file import read_study
from protocol.sum_round import Step
from tests.federation import Federation
from tests.studies import changed
from tests.test_participation import Attack


def silent_once(federation: Federation, step: str, sites: set[str]) -> list[str]:
    """Lets sites be silent the first time that they are asked for a step."""
    missed: list[str] = []

    def lost(site: str, request: Request) -> bool:
        first = site in sites and request.step == step and site not in missed
        missed.extend([site] if first else [])
        return first

    federation.link.lost = lost
    return missed


def sent_of(federation: Federation, site: str) -> list[tuple[str, int]]:
    with federation.silos[site]._home.transaction() as book:
        rows = [entry for entry in book.entries() if entry.state is State.SENT]
    return [(row.purpose, row.rho) for row in rows]


@pytest.mark.parametrize("step", ["share", "masked", "consistency", "unmask"])
def test_a_failed_training_round_is_tried_again_and_paid_once(tmp_path: Path, step: str) -> None:
    federation = Federation(tmp_path, read_study(changed("rounds: 2", "rounds: 1")))
    silent_once(federation, step, {"east", "west"})
    federation.run()
    assert [len(survivors) for _, _, survivors in federation.watch.rounds] == [4, 4]
    for site in federation.silos:
        training = [rho for purpose, rho in sent_of(federation, site) if purpose == "training"]
        assert sum(rho > 0 for rho in training) == 1
        assert federation.silos[site]._ledger.summary().of("training").spent > 0


def test_the_same_noised_update_travels_under_another_mask(tmp_path: Path) -> None:
    federation = Federation(tmp_path, read_study(changed("rounds: 2", "rounds: 1")))
    silent_once(federation, "unmask", {"east", "west"})
    federation.run()
    with federation.silos["north"]._home.transaction() as book:
        sent = [e for e in book.entries() if e.state is State.SENT and e.purpose == "training"]
    first, second = sent
    assert first.content == second.content
    assert first.blob != second.blob
    assert first.context != second.context
    assert (first.rho > 0, second.rho) == (True, 0)


def test_a_site_that_lost_its_update_sits_the_retry_out(tmp_path: Path) -> None:
    federation = Federation(tmp_path, read_study(changed("rounds: 2", "rounds: 1")))
    missed = silent_once(federation, "unmask", {"east", "west"})
    told = federation.link.lost

    def lost(site: str, request: Request) -> bool:
        silent = told(site, request)
        if site == "north" and request.step == "advertise" and len(missed) == 2:
            federation.silos["north"]._runs["run-1"]._released = None  # as after a restart
        return silent

    federation.link.lost = lost
    federation.run()
    assert federation.watch.rounds[0][2] == ("east", "south", "west")
    assert federation.silos["north"]._ledger.summary().of("training").reserved == 0


def test_an_evaluation_that_was_sent_is_not_repeated_unless_it_was_paid_for(tmp_path: Path) -> None:
    federation = Federation(tmp_path, read_study(changed("rounds: 2", "rounds: 1")))
    silent = {"east", "west"}
    federation.link.lost = lambda site, request: (
        site in silent and request.step == "unmask" and len(federation.watch.rounds) == 1
    )
    with pytest.raises(QuorumLost, match="evaluation round 2: .*OutOfOrder"):
        federation.run()
    assert [purpose for purpose, _ in sent_of(federation, "north")].count("evaluation") == 1


def test_planned_attempts_of_the_evaluation_each_pay_and_draw_new_noise(tmp_path: Path) -> None:
    text = changed("rounds: 2", "rounds: 1").replace("bins: 8", "bins: 8, attempts: 2")
    federation = Federation(tmp_path, read_study(text))
    missed: list[str] = []

    def lost(site: str, request: Request) -> bool:
        again = len(federation.watch.rounds) == 1 and request.step == "unmask"
        first = again and site in ("east", "west") and site not in missed
        missed.extend([site] if first else [])
        return first

    federation.link.lost = lost
    federation.run()
    with federation.silos["north"]._home.transaction() as book:
        sent = [e for e in book.entries() if e.state is State.SENT and e.purpose == "evaluation"]
    assert len({entry.content for entry in sent}) == 2
    assert sent[0].rho == sent[1].rho > 0
    assert federation.silos["north"]._ledger.summary().of("evaluation").reserved == 0


def test_a_round_is_not_begun_more_often_than_the_study_says(tmp_path: Path) -> None:
    federation = Federation(
        tmp_path, read_study(changed("colluders: 1", "colluders: 1, attempts: 2"))
    )
    federation.link.lost = lambda site, request: (
        site in ("east", "west") and request.step == "share"
    )
    with pytest.raises(QuorumLost, match="training round 1"):
        federation.run()
    with federation.store.read() as session:
        assert [(row.attempt, row.state) for row in session.query(RoundRow)] == [
            (0, "failed"), (1, "failed")
        ]  # fmt: skip


class WrongMask(SiloRound):
    """A hospital whose masks do not cancel."""

    def mask(self, vector: Words, *, threads: int = 1) -> memoryview:
        apply_masks(vector, add=[b"x" * 32], subtract=[])
        return super().mask(vector, threads=threads)


def test_a_site_that_masks_wrongly_is_left_out_and_suspected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation = Federation(tmp_path, read_study(changed("rounds: 2", "rounds: 2")))

    def machine(**arguments: object) -> SiloRound:
        kind = WrongMask if arguments["site"] == "north" else SiloRound
        return kind(**arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("silos.participation.SiloRound", machine)
    federation.run()
    honest = ("east", "south", "west")
    assert [survivors for _, _, survivors in federation.watch.rounds] == [honest] * 3
    with federation.store.read() as session:
        rows = session.query(RoundRow).order_by(RoundRow.id).all()
    assert [(row.number, row.attempt, row.state) for row in rows] == [
        (0, 0, "failed"), (0, 1, "failed"), (0, 2, "finished"), (1, 0, "finished"),
        (2, 0, "finished"),
    ]  # fmt: skip
    assert f'{{"north": "{SUSPECTED}"}}' == rows[2].culprits_json


def test_noise_that_no_site_explains_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation = Federation(tmp_path, read_study(changed("rounds: 2", "rounds: 1")))
    monkeypatch.setattr("silos.participation.SiloRound", WrongMask)
    with pytest.raises(SumRefused, match="training round 1: the sum is longer"):
        federation.run()


def test_an_earlier_attempt_cannot_be_asked_for_again(tmp_path: Path) -> None:
    attack = Attack(tmp_path)
    first = attack.context()
    attack.drive(first, until=Step.MASKED)
    attack.drive(attack.context(attempt=1), until=Step.MASKED)
    opening = attack.round(first).request(Step.ADVERTISE, "east")
    assert attack.ask("east", Step.ADVERTISE, opening).refusal == "MessageRefused"
