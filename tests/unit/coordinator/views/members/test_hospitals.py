"""Hospitals in views: membership, rosters and their signatures, part in rounds, approvals."""

from contextlib import closing
from pathlib import Path

import pytest

from coordinator.views.members.approvals import rosters_in
from coordinator.views.members.sites import SiteRounds, sites_in
from coordinator.views.views import open_views
from protocol.errors import StoreBroken
from protocol.identity.roster import sign_roster
from protocol.identity.timestamps import write_time
from tests.support.hospital.consortium_home import ConsortiumHome
from tests.support.simulated.output_folder import RUNS, change


def test_hospitals_of_a_simulation_stand_with_their_rounds_bytes_and_budget(genuine: Path) -> None:
    with closing(open_views(genuine)) as views:
        found, both = views.sites(), [views.dossier(run) for run in RUNS]
    assert [one.site for one in found] == ["east", "north", "south", "west"]
    counted = [one for dossier in both for one in dossier.rounds if one.state == "finished"]
    for one in found:
        assert (one.state, one.runs, one.newest_run) == ("simulated", 2, RUNS[1])
        assert (one.rounds.asked, one.rounds.joined, one.rounds.dropped) == (
            len(counted), len(counted), 0
        )  # fmt: skip
        assert one.newest is not None and 0 < (one.newest.budget_share or 0) < 1
    assert sum(one.rounds.sent or 0 for one in found) == sum(one.bytes_up or 0 for one in counted)


def test_a_hospital_that_dropped_out_is_counted_and_times_of_updates_are_read(
    folder: Path,
) -> None:
    change(
        folder,
        """UPDATE round SET survivors_json = '["east","north","south"]', dropped_json = '["west"]',
           conduct_json = '{"updates":{"east":1.5,"north":2.5}}' WHERE id = 1""",
    )
    with closing(open_views(folder)) as views:
        found = {one.site: one.rounds for one in views.sites()}
    assert (found["west"].dropped, found["east"].dropped) == (1, 0)
    assert found["west"].joined == found["east"].joined - 1
    assert {1.5} == {t for t in found["east"].updates if t in (1.5, 2.5)}
    assert len(found["west"].updates) == len(found["east"].updates) - 1


def test_where_no_round_counted_bytes_nothing_is_said_of_them(folder: Path) -> None:
    change(folder, "UPDATE round SET conduct_json = '{}'")
    with closing(open_views(folder)) as views:
        assert {(one.rounds.sent, one.rounds.received) for one in views.sites()} == {(None, None)}


def test_a_members_certificate_roster_and_revocation_are_told(tmp_path: Path) -> None:
    home = ConsortiumHome(tmp_path / "home")
    home.found("east", "north", "south")
    home.members.revoke("south", "left")
    home.invite("west")
    with home.store.read() as session:
        found = {one.site: one for one in sites_in(session, write_time(home.clock()))}
        home.clock.move(days=30)
        later = {one.site: one for one in sites_in(session, write_time(home.clock()))}
    home.store.close()
    assert {site: one.state for site, one in found.items()} == {
        "east": "enrolled", "north": "enrolled", "south": "revoked", "west": "invited"
    }  # fmt: skip
    assert found["east"].roster == 1 and found["south"].roster is None
    assert found["east"].certificate_until and found["south"].certificate_until is None
    assert found["east"].rounds == SiteRounds() and found["east"].newest is None
    assert later["west"].state == "lapsed"


def test_a_roster_waits_for_those_who_have_not_signed_until_a_quorum_has(tmp_path: Path) -> None:
    home = ConsortiumHome(tmp_path / "home")
    with home.store.read() as session:
        assert rosters_in(session) == ()
    home.enrol("east", "north", "south")
    proposed = home.members.rosters.propose()
    home.members.rosters.sign("east", sign_roster(proposed, home.keys["east"]))
    with home.store.read() as session:
        [first] = rosters_in(session)
    assert (first.state, first.needed, first.signed) == ("proposed", 3, ("east",))
    assert first.waits_for == ("north", "south")
    home.sign("north", "south")
    home.members.rosters.propose(renew=True)
    with home.store.read() as session:
        waiting, current = rosters_in(session)
    home.store.close()
    assert (waiting.version, waiting.needed, waiting.waits_for) == (
        2, 3, ("east", "north", "south")
    )  # fmt: skip
    assert (current.state, current.signed, current.waits_for) == (
        "signed", ("east", "north", "south"), ()
    )  # fmt: skip


def test_a_hospital_that_joined_has_approved_and_the_others_are_missing(folder: Path) -> None:
    with closing(open_views(folder)) as views:
        newest, before = views.approvals()
    assert (newest.run_id, before.run_id) == RUNS[::-1]
    assert newest.missing == () and set(newest.approved) == set(newest.planned)
    change(folder, "UPDATE run SET sites_json = '{}' WHERE id = 'run-2'")
    with closing(open_views(folder)) as views:
        assert views.approvals()[0].missing == newest.planned


def test_a_damaged_record_is_refused(folder: Path) -> None:
    change(folder, "UPDATE run SET sites_json = '[]'")
    with closing(open_views(folder)) as views:
        for look in (views.sites, views.approvals):
            with pytest.raises(StoreBroken, match="damaged"):
                look()
