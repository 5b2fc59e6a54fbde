"""What crosses when a hospital does not join: one word, whatever the reason.

A study's author writes its ranges, vocabularies and least numbers, so the class
of a refusal would answer exactly, and at no price, a question about records.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from compliance.privacy.events import SampledGaussian
from coordinator.database.workspace import Workspace
from protocol import errors
from protocol.errors import BudgetSpent, FederationError, LinkLost
from protocol.study.study import Study
from protocol.transport.requests import Answer, Delivery
from protocol.transport.run_announcement import RunAnnouncement, sign_announcement
from protocol.transport.steps import JOIN_REFUSED
from silos.config.study_authorization import StudyTerms
from silos.database.database import SiteDatabase
from silos.database.joined_runs import JoinedRuns, RunState
from tests.support.machine.short_form import short_form
from tests.support.networked.network import Network, Site, rosters_now
from tests.support.simulated.studies import small_study
from tests.unit.silos.network.test_supervisor import asked

#: Every class of the tree but the line's own: a lost line answers nothing at all.
KINDS = sorted(
    (
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, FederationError) and kind is not LinkLost
    ),
    key=lambda kind: kind.__name__,
)
UNFORESEEN = [ValueError, RuntimeError, MemoryError, KeyError]
REASON = "age, row 17: what nobody outside may know"


class Refusing:
    """Stands where a hospital authorizes a study; refuses as the test says."""

    kind: type[Exception] | None = None

    def __call__(self, home: Path, _hospital: SiteDatabase) -> Callable[[Study], StudyTerms]:
        def authorization(_study: Study) -> StudyTerms:
            if self.kind is not None:
                raise self.kind(REASON)
            return StudyTerms(runs=1000, source=home.parent / "data" / f"{home.name}.csv")

        return authorization


@pytest.fixture(scope="module")
def refusing() -> Refusing:
    return Refusing()


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, refusing: Refusing) -> Iterator[Network]:
    network = Network(tmp_path_factory.mktemp("network"), small_study())
    for site in network.sites.values():
        site.authorization = refusing
    with network.serving():
        network.sites["east"].start()
        yield network


@pytest.fixture
def east(network: Network) -> Site:
    return network.sites["east"]


def notice_of(network: Network, run: str) -> bytes:
    roster = rosters_now(network.home).roster.digest
    notice = RunAnnouncement(run_id=run, study=network.study.digest, roster=roster)
    return sign_announcement(notice, Workspace(network.home).signing_key())


def join(network: Network, run: str) -> Delivery:
    return Delivery(number=0, run_id=run, kind="join", message=notice_of(network, run))


def test_the_tree_is_whole() -> None:
    assert {"CohortRefused", "BudgetSpent", "PolicyRefused", "LedgerBroken", "StudyRefused"} <= {
        kind.__name__ for kind in KINDS
    }


@pytest.mark.parametrize("kind", [*KINDS, *UNFORESEEN], ids=lambda kind: kind.__name__)
def test_a_refusal_to_join_crosses_as_one_word(
    network: Network,
    refusing: Refusing,
    caplog: pytest.LogCaptureFixture,
    kind: type[Exception],
) -> None:
    refusing.kind = kind
    answer = asked(network, "east", join(network, f"run-{kind.__name__}"))
    assert (answer.refusal, answer.message, answer.blob) == (JOIN_REFUSED, b"", None)
    assert REASON in caplog.text  # at home


@pytest.mark.parametrize("kind", [*KINDS, *UNFORESEEN], ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("step", short_form(["advertise", "masked", "initial-model"], 3))
def test_so_does_one_to_join_again_after_a_restart(
    network: Network, refusing: Refusing, east: Site, kind: type[Exception], step: str
) -> None:
    run = f"again-{step}-{kind.__name__}"
    with closing(east.open()) as hospital:
        JoinedRuns(hospital).record(
            run, study=network.study.digest, state=RunState.JOINED, notice=notice_of(network, run)
        )
    refusing.kind = kind
    draft = Delivery(number=0, run_id=run, kind=step, message=b"")
    assert asked(network, "east", draft).refusal == JOIN_REFUSED
    with closing(east.open()) as hospital:
        JoinedRuns(hospital).record(run, study=network.study.digest, state=RunState.LEFT)


def test_records_that_are_only_doubtful_keep_no_hospital_out(
    network: Network, refusing: Refusing, caplog: pytest.LogCaptureFixture
) -> None:
    refusing.kind = None
    north = network.sites["north"]  # for it freezes what it joins with
    head, *rows = north.source.read_bytes().splitlines(keepends=True)
    north.source.write_bytes(b"".join([head, *rows, *rows]))
    north.start()
    answer = asked(network, "north", join(network, "run-doubled"))
    assert answer.refusal is None
    assert "80 of 80 rows are equal to another row" in caplog.text  # at home


def test_records_that_do_not_fit_cannot_be_told_from_a_budget_that_is_spent(
    network: Network, refusing: Refusing, east: Site, caplog: pytest.LogCaptureFixture
) -> None:
    refusing.kind = None
    records = east.source.read_bytes()
    east.source.write_bytes(records.replace(b"\n", b"x\n", 1))
    unfit = asked(network, "east", join(network, "run-records"))
    east.source.write_bytes(records)
    assert "CohortRefused" not in str(unfit) and "east" in caplog.text
    with closing(east.open()) as hospital:
        spend_all(hospital)
    poor = asked(network, "east", join(network, "run-budget"))
    assert "the training patients' budget does not suffice" in caplog.text
    assert (
        replace(unfit, number=0)
        == replace(poor, number=0)
        == Answer(number=0, refusal=JOIN_REFUSED)
    )


def spend_all(hospital: SiteDatabase) -> None:
    plan = SampledGaussian(noise_multiplier=3.0, sampling_rate=1.0, steps=1)
    with pytest.raises(BudgetSpent):
        for number in range(1000):
            hospital.ledger.reserve(
                study="f" * 64,
                run=f"fill-{number}",
                partition="training",
                round_kind="x",
                event=plan,
            )
