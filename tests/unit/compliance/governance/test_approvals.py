"""Approvals, on a fake in memory and on the hospital's real database; rosters and runs beside."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, text

from compliance.governance.approvals import Approval, Approvals, ApprovalStorage, Decision
from compliance.governance.study_store import StudyStore
from protocol.encoding import digest
from protocol.errors import (
    MessageRefused,
    PolicyRefused,
    QuorumLost,
    StoreBroken,
    StudyRefused,
)
from protocol.identity.roster import Member, Roster, SignedRoster, SigningKey, sign_roster
from silos.database.approvals import ApprovalTable, approvals_of
from silos.database.database import MIGRATIONS, SiteDatabase, open_hospital
from silos.database.joined_runs import JoinedRuns, RunState
from silos.database.private_keys import PrivateKeys
from silos.database.trusted_rosters import TrustedRosters
from tests.support.hospital.rosters import roster_with
from tests.support.machine.databases import allow_updates, run_sql
from tests.support.networked.memory_heads import MemoryHeads
from tests.support.simulated.studies import TABLE_STUDY, changed, small_study

STUDY, OTHER = "a" * 64, "b" * 64
OFFICER, MEDIC = "Dr. A. Officer", "Prof. B. Medicine"
APPROVERS = (OFFICER, MEDIC)
KEY = SigningKey.from_bytes(bytes(32))


class FakeStorage:
    """Decisions in a list; what a transaction did is undone when it is left by an exception."""

    def __init__(self) -> None:
        self.rows: list[Approval] = []
        self.approval_heads = MemoryHeads()
        self._lock = threading.Lock()

    def now(self) -> str:
        return "2000-01-01T00:00:00.000Z"

    @contextmanager
    def approval_chain(self) -> Iterator["FakeStorage"]:
        with self._lock:
            before = list(self.rows)
            try:
                yield self
            except BaseException:
                self.rows = before
                raise

    def approvals(self) -> Sequence[Approval]:
        return list(self.rows)

    def append_approval(self, approval: Approval) -> None:
        self.rows.append(approval)


@pytest.fixture
def hospital(place_of: Callable[[str], Path | str], tmp_path: Path) -> Iterator[SiteDatabase]:
    opened = open_hospital(place_of("east"), site="east", blobs=tmp_path / "east-blobs")
    yield opened
    opened.close()


@pytest.fixture(params=["fake", "sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ApprovalStorage]:
    if request.param == "fake":
        yield FakeStorage()
        return
    place: Path | str = tmp_path / "east.db"
    if request.param == "postgresql":
        place = request.getfixturevalue("postgres").new_schema()
    hospital = open_hospital(place, site="east", blobs=tmp_path / "east-blobs")
    yield ApprovalTable(hospital)
    hospital.close()


@pytest.fixture
def approvals(storage: ApprovalStorage) -> Approvals:
    return Approvals(storage, KEY)


def approve(approvals: Approvals, study: str = STUDY, approver: str = OFFICER) -> Approval:
    return approvals.approve(study, approver=approver, approvers=APPROVERS, reason="read it")


def test_nothing_is_approved_before_somebody_approves_it(approvals: Approvals) -> None:
    with pytest.raises(PolicyRefused, match="nobody has approved study aaaa.*silo approve"):
        approvals.require(STUDY, approvers=APPROVERS, needed=1)


def test_an_approval_is_of_one_study_only(approvals: Approvals) -> None:
    approve(approvals)
    approvals.require(STUDY, approvers=APPROVERS, needed=1)
    with pytest.raises(PolicyRefused, match="nobody has approved study bbbb"):
        approvals.require(OTHER, approvers=APPROVERS, needed=1)


def test_only_people_whom_the_policy_names_approve(approvals: Approvals) -> None:
    with pytest.raises(PolicyRefused, match="'A. Stranger' may not approve.*names Dr. A. Officer"):
        approve(approvals, approver="A. Stranger")
    assert approvals.all() == ()


def test_an_empty_list_of_approvers_lets_nobody_approve(approvals: Approvals) -> None:
    with pytest.raises(PolicyRefused, match="names nobody yet"):
        approvals.approve(STUDY, approver=OFFICER, approvers=())


def test_one_person_counts_once_where_two_must_approve(approvals: Approvals) -> None:
    assert approve(approvals) == approve(approvals)
    with pytest.raises(PolicyRefused, match="approved by Dr. A. Officer; the policy needs 2"):
        approvals.require(STUDY, approvers=APPROVERS, needed=2)
    approve(approvals, approver=MEDIC)
    approvals.require(STUDY, approvers=APPROVERS, needed=2)


def test_who_is_no_approver_any_more_no_longer_counts(approvals: Approvals) -> None:
    approve(approvals)
    with pytest.raises(PolicyRefused, match="only Dr. A. Officer, no approver now, has approved"):
        approvals.require(STUDY, approvers=(MEDIC,), needed=1)


def test_a_withdrawal_by_anybody_ends_every_approval(approvals: Approvals) -> None:
    approve(approvals)
    approve(approvals, approver=MEDIC)
    approvals.withdraw(STUDY, approver="the night shift", reason="a patient asked")
    assert approvals.standing(STUDY) == ()
    assert [entry.decision for entry in approvals.all()][-1] is Decision.WITHDRAWN


def test_what_was_withdrawn_can_be_approved_again(approvals: Approvals) -> None:
    approve(approvals)
    approvals.withdraw(STUDY, approver=OFFICER)
    again = approve(approvals)
    assert (again.number, approvals.standing(STUDY)) == (3, (again,))


def test_what_nobody_approved_cannot_be_withdrawn(approvals: Approvals) -> None:
    with pytest.raises(PolicyRefused, match="is not approved: nothing to withdraw"):
        approvals.withdraw(STUDY, approver=OFFICER)


def test_a_decision_needs_a_name(approvals: Approvals) -> None:
    with pytest.raises(ValueError, match="name who decides"):
        approvals.withdraw(STUDY, approver="  ")


def spoil(entry: Approval, how: str) -> Approval:
    own = SigningKey.generate()
    return {
        "approver": replace(entry, approver=MEDIC),
        "study": replace(entry, study=OTHER),
        "decision": replace(entry, decision=Decision.WITHDRAWN),
        "hash": replace(entry, hash="0" * 64),
        "signature": replace(entry, signature=bytes(64)),
        "key": replace(
            replace(entry, public_key=own.public.hex()),
            signature=own.sign(
                "approval", replace(entry, public_key=own.public.hex()).signed_bytes
            ),
        ),
    }[how]


@pytest.mark.parametrize("how", ["approver", "study", "decision", "hash", "signature", "key"])
def test_a_changed_decision_is_found(how: str) -> None:
    storage = FakeStorage()
    approvals = Approvals(storage, KEY)
    approve(approvals)
    approve(approvals, OTHER)
    storage.rows[0] = spoil(storage.rows[0], how)
    with pytest.raises(StoreBroken, match="approval 1 .*no study may run on it"):
        approvals.require(OTHER, approvers=APPROVERS, needed=1)


@pytest.mark.parametrize("place", [0, 1])
def test_a_decision_that_was_taken_away_or_moved_is_found(place: int) -> None:
    storage = FakeStorage()
    approvals = Approvals(storage, KEY)
    for study in (STUDY, OTHER, "c" * 64):
        approve(approvals, study)
    del storage.rows[place]
    with pytest.raises(StoreBroken, match=f"approval {place + 1} does not follow"):
        approvals.all()


def test_decisions_under_a_former_key_of_the_hospital_still_count(hospital: SiteDatabase) -> None:
    table, former = ApprovalTable(hospital), SigningKey.generate()
    approve(Approvals(table, former))
    with pytest.raises(StoreBroken, match="a key that was never this hospital's"):
        Approvals(table, KEY).all()
    assert len(Approvals(table, KEY, {former.public.hex()}).standing(STUDY)) == 1


@pytest.mark.parametrize("statement", ["DELETE FROM approval", "UPDATE approval SET reason = ''"])
def test_the_database_only_adds_decisions(hospital: SiteDatabase, statement: str) -> None:
    approve(approvals_of(hospital))
    with (
        pytest.raises(StoreBroken, match="approval is append-only"),
        hospital.connection() as connection,
    ):
        connection.exec_driver_sql(statement)


def test_a_changed_row_in_the_database_is_found(
    hospital: SiteDatabase, place_of: Callable[[str], Path | str]
) -> None:
    approve(approvals_of(hospital))
    allow_updates(place_of("east"), "approval")
    run_sql(place_of("east"), f"UPDATE approval SET study = '{OTHER}'")  # noqa: S608
    with pytest.raises(StoreBroken, match="approval 1 was changed"):
        approvals_of(hospital).require(OTHER, approvers=APPROVERS, needed=1)


def members(hospital: SiteDatabase, *others: SigningKey) -> tuple[Member, ...]:
    own = SigningKey.from_bytes(hospital.identity_key)
    keys = [own, *others]
    return tuple(
        Member(site=site, public_key=key.public.hex())
        for site, key in zip(("east", "north", "south"), keys, strict=False)
    )


def signed(roster: Roster, **keys: SigningKey) -> SignedRoster:
    return SignedRoster(
        roster=roster, signatures={site: sign_roster(roster, key) for site, key in keys.items()}
    )


@pytest.fixture
def north() -> SigningKey:
    return SigningKey.generate()


def own_key(hospital: SiteDatabase) -> SigningKey:
    return SigningKey.from_bytes(hospital.identity_key)


def test_a_founding_roster_needs_every_members_signature(
    hospital: SiteDatabase, north: SigningKey
) -> None:
    rosters, roster = TrustedRosters(hospital), roster_with(members(hospital, north))
    with pytest.raises(QuorumLost, match="not signed by east"):
        rosters.keep(signed(roster, north=north))
    assert rosters.newest() is None
    assert rosters.keep(signed(roster, east=own_key(hospital), north=north)) == roster
    assert rosters.newest() == roster


def test_what_follows_a_kept_roster_needs_its_quorum(
    hospital: SiteDatabase, north: SigningKey
) -> None:
    rosters, east, south = TrustedRosters(hospital), own_key(hospital), SigningKey.generate()
    first = roster_with(members(hospital, north))
    rosters.keep(signed(first, east=east, north=north))
    second = roster_with(members(hospital, north, south), version=2, previous=first.digest)
    with pytest.raises(QuorumLost, match="1 members signed roster 2, 2 must"):
        rosters.keep(signed(second, north=north))
    rosters.keep(signed(second, east=east, north=north))
    assert rosters.keep(signed(second, east=east, north=north)) == rosters.newest() == second


def test_the_first_roster_of_a_later_member_is_compared_by_people(
    hospital: SiteDatabase, north: SigningKey
) -> None:
    rosters = TrustedRosters(hospital)
    later = roster_with(members(hospital, north), version=4, previous="c" * 64)
    with pytest.raises(PolicyRefused, match="compare its fingerprint with other members"):
        rosters.keep(signed(later, north=north))
    assert rosters.keep(signed(later, north=north), compared=later.digest) == later


def test_a_roster_with_another_key_for_this_hospital_is_not_kept(
    hospital: SiteDatabase, north: SigningKey
) -> None:
    false = roster_with((Member(site="east", public_key=north.public.hex()),))
    with pytest.raises(PolicyRefused, match="names another key for hospital east.*do not sign it"):
        TrustedRosters(hospital).keep(signed(false, east=north))
    absent = roster_with((Member(site="north", public_key=north.public.hex()),))
    with pytest.raises(PolicyRefused, match="does not name hospital east"):
        TrustedRosters(hospital).keep(signed(absent, north=north))


def test_a_wrong_signature_spoils_a_roster(hospital: SiteDatabase, north: SigningKey) -> None:
    roster = roster_with(members(hospital, north))
    with pytest.raises(MessageRefused, match="the signature is not valid"):
        TrustedRosters(hospital).keep(signed(roster, east=north, north=north))


def test_a_joined_run_is_found_again_until_it_is_left(hospital: SiteDatabase) -> None:
    runs = JoinedRuns(hospital)
    runs.record("run-1", study=STUDY, state=RunState.JOINED, notice=b"{}")
    runs.record("run-2", study=STUDY, state=RunState.JOINED)
    runs.record("run-2", study=STUDY, state=RunState.LEFT)
    (still,) = JoinedRuns(hospital).open()
    assert (still.run_id, still.study, still.notice) == ("run-1", STUDY, b"{}")
    with pytest.raises(StoreBroken, match="run run-1 was of another study"):
        runs.record("run-1", study=OTHER, state=RunState.LEFT)


SPLIT = b"site,row,part\neast,0,train\n"
BY_FILE = changed(
    "keyed_hash, test_fraction: 0.3", f"file, file: parts/split.csv, sha256: {digest(SPLIT)}"
)


def test_a_kept_study_is_handed_out_by_its_digest(tmp_path: Path) -> None:
    archive = StudyStore(tmp_path)
    kept = archive.keep(BY_FILE, SPLIT)
    assert archive.keep(BY_FILE, SPLIT) == kept
    assert archive.read(kept.digest) == (kept, SPLIT)
    assert archive.digests() == (kept.digest,)


def test_canonical_json_of_a_study_is_kept_like_yaml(tmp_path: Path) -> None:
    study = small_study()
    assert StudyStore(tmp_path).keep(study.canonical_bytes.decode(), None) == study


def test_a_changed_study_or_index_file_is_not_handed_out(tmp_path: Path) -> None:
    archive = StudyStore(tmp_path)
    kept = archive.keep(BY_FILE, SPLIT)
    (tmp_path / kept.digest / "parts" / "split.csv").write_bytes(SPLIT + b"east,1,train\n")
    with pytest.raises(StoreBroken, match="index file of study .* was changed: approve it again"):
        archive.read(kept.digest)
    plain = archive.keep(TABLE_STUDY, None)
    (tmp_path / plain.digest / "study.yaml").write_text(changed("epsilon: 4", "epsilon: 3"))
    with pytest.raises(StoreBroken, match="the kept study .* was changed"):
        archive.read(plain.digest)


@pytest.mark.parametrize("name", ["0" * 64, "../../etc", "", "x" * 64])
def test_what_is_not_kept_is_not_handed_out(tmp_path: Path, name: str) -> None:
    with pytest.raises(StudyRefused, match="is kept here"):
        StudyStore(tmp_path).read(name)


@pytest.mark.parametrize(
    ("text", "index", "said"),
    [
        (BY_FILE, None, "the index file 'parts/split.csv' is missing"),
        (BY_FILE, SPLIT + b"\n", "is not the one the study names"),
        (BY_FILE.replace(f", sha256: {digest(SPLIT)}", ""), SPLIT, "split.sha256 is missing"),
        (BY_FILE.replace("parts/split.csv", "study.yaml"), SPLIT, "is not called study.yaml"),
    ],
)
def test_an_index_file_that_the_digest_does_not_name_is_refused(
    tmp_path: Path, text: str, index: bytes | None, said: str
) -> None:
    with pytest.raises(StudyRefused, match=said):
        StudyStore(tmp_path).keep(text, index)
    assert StudyStore(tmp_path).digests() == ()


def test_a_database_of_an_earlier_version_becomes_a_real_hospitals(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "hospital_0002")
        keys = PrivateKeys(tmp_path / "old-keys")
        key = SigningKey.from_bytes(bytes(32))
        keys.keep_identity(key)
        row = {"split": keys.keep_split_key(bytes(32)), "identity": key.public.hex()}
        connection.execute(
            text("INSERT INTO hospital VALUES (1, 'east', :split, :identity, '2000-01-01')"), row
        )
    engine.dispose()
    hospital = open_hospital(path, site="east", simulated=False)
    assert hospital.identity_key == bytes(32)
    assert approvals_of(hospital).accept_copy(approver=OFFICER, reason="upgraded") == ()
    assert approve(approvals_of(hospital)).number == 1
    hospital.close()
