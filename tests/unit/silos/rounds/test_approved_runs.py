"""An approval is for a number of runs: what begins, counts and is refused at one hospital."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from compliance.governance.approvals import Approval
from compliance.ledger.entries import Reservation
from compliance.ledger.ledger import Ledger
from protocol.counted import counted
from protocol.errors import PolicyRefused
from protocol.identity.roster import Member, SigningKey
from protocol.study.study_file import read_study
from protocol.transport.privacy_summary import NamedApproval, open_summary
from silos.config.study_authorization import StudyAuthorization
from silos.database.approvals import approvals_of
from silos.database.database import SiteDatabase, open_hospital
from silos.operations.site import approve, describe_request, list_studies
from silos.rounds.invitation import Invitation
from silos.rounds.silo import Silo
from tests.support.hospital.hospital_home import MEDIC, OFFICER, make_east
from tests.support.hospital.rosters import COORDINATOR_KEY, roster_with
from tests.support.hospital.sites import SITE
from tests.support.networked.network import Network
from tests.support.simulated.federation import LinearTrainer
from tests.support.simulated.preregistered import preregistered
from tests.support.simulated.studies import TABLE_STUDY, small_study
from tests.unit.compliance.ledger.test_rollback import event, send

#: What an approver reads of a preregistration.
_SHOWN = frozenset({"to show", "decided by"})

STUDY = "a" * 64
ONE_RUN = "of 1 approved runs of study .* are used here"


@pytest.fixture
def north(place_of: Callable[[str], Path | str], tmp_path: Path) -> Iterator[SiteDatabase]:
    hospital = open_hospital(place_of("north"), site="north", blobs=tmp_path / "north-blobs")
    hospital.ledger.open_budget(epsilon_max=8.0, delta=2e-5, signed_by=OFFICER)
    yield hospital
    hospital.close()


def reserve(ledger: Ledger, run: str, max_runs: int | None = 1, steps: int = 10) -> Reservation:
    return ledger.reserve(
        study=STUDY, run=run, partition="training", round_kind="training", event=event(steps),
        max_runs=max_runs,
    )  # fmt: skip


# --- what counts ----------------------------------------------------------------------------------


def test_a_second_run_on_one_approval_books_nothing(north: SiteDatabase) -> None:
    reserve(north.ledger, "run-1")
    head = north.ledger.head
    with pytest.raises(PolicyRefused, match=rf"1 {ONE_RUN} \(run-1\).*collegium silo approve"):
        reserve(north.ledger, "run-2")
    assert north.ledger.head == head
    assert reserve(north.ledger, "run-1").run == "run-1"  # a restart finds its own run again
    assert reserve(north.ledger, "run-2", max_runs=2).run == "run-2"


def test_a_run_counts_once_something_was_sent_however_it_ended(north: SiteDatabase) -> None:
    plan = reserve(north.ledger, "run-1")
    send(north.ledger, plan, "round 0", 1)
    north.ledger.settle(plan)
    assert north.ledger.runs_of(STUDY) == ("run-1",)
    with pytest.raises(PolicyRefused, match=ONE_RUN):
        reserve(north.ledger, "run-2")


def test_a_run_of_which_nothing_was_sent_does_not_count(north: SiteDatabase) -> None:
    north.ledger.settle(reserve(north.ledger, "run-1"))
    assert north.ledger.runs_of(STUDY) == ()
    assert reserve(north.ledger, "run-2").run == "run-2"


def test_another_study_is_counted_by_itself(north: SiteDatabase) -> None:
    reserve(north.ledger, "run-1")
    assert north.ledger.runs_of("b" * 64) == ()


def test_of_runs_that_begin_at_once_one_is_admitted(north: SiteDatabase) -> None:
    admitted: list[str] = []

    def begin(run: str) -> None:
        with suppress(PolicyRefused):
            admitted.append(reserve(north.ledger, run, steps=1).run)

    threads = [threading.Thread(target=begin, args=(f"run-{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == 1 and north.ledger.runs_of(STUDY) == tuple(admitted)


# --- what is approved -----------------------------------------------------------------------------


def approved(north: SiteDatabase, by: str = OFFICER, used: int = 0, runs: int = 1) -> Approval:
    return approvals_of(north).approve(
        STUDY, approver=by, approvers=(OFFICER, MEDIC), used=used, runs=runs
    )


def allowed(north: SiteDatabase, needed: int = 1) -> int:
    return approvals_of(north).require(STUDY, approvers=(OFFICER, MEDIC), needed=needed)


def test_an_approval_is_for_one_run_unless_it_says_more(north: SiteDatabase) -> None:
    approved(north)
    assert allowed(north) == 1
    approved(north, used=1, runs=3)
    assert allowed(north) == 4


def test_the_same_approval_said_twice_is_one(north: SiteDatabase) -> None:
    assert approved(north) == approved(north)
    assert len(approvals_of(north).all()) == 1 and allowed(north) == 1


def test_as_many_people_as_the_policy_asks_for_approve_each_run(north: SiteDatabase) -> None:
    approved(north, runs=5)
    approved(north, by=MEDIC, runs=2)
    assert (allowed(north, needed=2), allowed(north, needed=1)) == (2, 5)


def test_a_withdrawal_ends_every_run_that_was_approved(north: SiteDatabase) -> None:
    approved(north, runs=5)
    approvals_of(north).withdraw(STUDY, approver="the night shift")
    with pytest.raises(PolicyRefused, match="nobody has approved"):
        allowed(north)
    approved(north, used=2)
    assert allowed(north) == 3


@pytest.mark.parametrize("runs", [0, -1, 1001])
def test_an_approval_for_no_run_is_none(north: SiteDatabase, runs: int) -> None:
    with pytest.raises(ValueError, match="is for 1 to 1000 runs"):
        approved(north, runs=runs)


def test_the_number_of_runs_is_signed(north: SiteDatabase) -> None:
    entry = approved(north, runs=7)
    assert b'"runs":7' in entry.signed_bytes


# --- a real hospital ------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_east(tmp_path, site=SITE, budget=20.0)


def invitation_of(silo: Silo, run_id: str) -> Invitation:
    study = small_study()
    keys = {site: SigningKey.generate().public.hex() for site in study.site_names}
    keys["east"] = silo.member.public_key
    members = tuple(Member(site=site, public_key=key) for site, key in sorted(keys.items()))
    return Invitation(
        run_id=run_id, study=study, roster=roster_with(members),
        coordinator_public=COORDINATOR_KEY.public, data=None, index_file=None,
    )  # fmt: skip


def runs_joined(home: Path, most: int = 50) -> int:
    """How many runs a coordinator gets that announces one after the other."""
    with closing(open_hospital(home / "hospital.db", site="east")) as hospital:
        silo = Silo(
            "east", home, LinearTrainer, simulated=False, hospital=hospital,
            authorization=StudyAuthorization(home, hospital),
        )  # fmt: skip
        for number in range(most):
            try:
                silo.join(invitation_of(silo, f"run-{number}"))
            except PolicyRefused as error:
                assert "approved runs of study" in str(error)
                return number
    return most


@pytest.mark.parametrize("runs", [1, 2])
def test_a_coordinator_gets_as_many_runs_as_were_approved(home: Path, runs: int) -> None:
    approve(home, home.parent / "study.yaml", by=OFFICER, reason="", runs=runs)
    assert runs_joined(home) == runs
    (found,) = list_studies(home)
    assert (found["runs_used"], found["runs_approved"], found["may_run"]) == (runs, runs, False)
    assert f"{runs} of {counted(runs, 'approved run')} used" in found["why_not"]
    approve(home, home.parent / "study.yaml", by=OFFICER, reason="")
    (found,) = list_studies(home)
    assert (found["runs_used"], found["runs_approved"], found["may_run"]) == (runs, runs + 1, True)


def test_the_approver_reads_how_many_runs_and_what_counts(home: Path) -> None:
    words = dict(describe_request(home, small_study(), runs=3))["runs"]
    assert words.startswith("this approval is for 3 runs. Each costs what is said below.")
    assert "counts too, unless nothing of it was sent" in words
    approve(home, home.parent / "study.yaml", by=OFFICER, reason="")
    runs_joined(home)
    again = dict(describe_request(home, small_study()))["runs"]
    assert again.startswith("this approval is for 1 run; 1 before.")


def test_the_approver_reads_what_a_preregistered_study_sets_out_to_show(home: Path) -> None:
    assert "to show" not in dict(describe_request(home, small_study()))
    said = [pair for pair in describe_request(home, preregistered()) if pair[0] in _SHOWN]
    assert said == [
        ("to show", "It tells who is ill better than chance. (primary)"),
        ("decided by", "auroc (all) at least 0.6, by its interval"),
        ("to show", "It does as well in every hospital."),
        (
            "decided by",
            "accuracy (hospital gap) at most 0.5, by its interval; accuracy (every hospital) at "
            "least 0.65, by its estimate",
        ),
    ]


def test_approvers_are_named_in_what_the_hospital_signs_only_where_its_policy_says_so(
    home: Path,
) -> None:
    study = small_study()
    file = home.parent / "study.yaml"
    approve(home, file, by=OFFICER, reason="")
    with closing(open_hospital(home / "hospital.db", site="east")) as hospital:
        authorization = StudyAuthorization(home, hospital)
        assert authorization(study).approvals == ()
        named = SITE.replace("approvers: [", "name_approvers: true\n  approvers: [Dr. New, ")
        (home / "site.yaml").write_text(named)
        day = approvals_of(hospital).standing(study.digest)[0].decided_at[:10]
        expected = (NamedApproval(name=OFFICER, on=day),)
        assert authorization(study).approvals == expected
        silo = Silo(
            "east", home, LinearTrainer, simulated=False, hospital=hospital,
            authorization=authorization,
        )  # fmt: skip
        signed = silo.join(invitation_of(silo, "run-0"))
        public = bytes.fromhex(silo.member.public_key)
        assert open_summary(signed, public).approvals == expected
        assert open_summary(silo.leave("run-0"), public).approvals == expected


# --- over the network -----------------------------------------------------------------------------


@pytest.mark.long
def test_a_second_run_over_the_network_goes_without_a_hospital_that_approved_one(
    tmp_path: Path,
) -> None:
    network = Network(tmp_path, read_study(TABLE_STUDY))
    east = network.sites["east"]
    east.authorization = StudyAuthorization
    with network.serving():
        site_file = SITE.replace("path: east.csv", f"path: {east.source}")
        (east.home / "site.yaml").write_text(site_file)
        (tmp_path / "study.yaml").write_text(TABLE_STUDY)
        approve(east.home, tmp_path / "study.yaml", by=OFFICER, reason="")
        network.start_sites()
        first, second = network.run(), network.run()
        assert [network.row(run).state for run in (first, second)] == ["finished", "finished"]
        with closing(east.open()) as hospital:
            assert hospital.ledger.runs_of(network.study.digest) == (first,)
        with closing(network.sites["west"].open()) as hospital:
            assert hospital.ledger.runs_of(network.study.digest) == (first, second)
