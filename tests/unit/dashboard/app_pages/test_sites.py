"""The page of hospitals: who is there, what they take part in, and what is not recorded."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from coordinator.views.members.sites import SiteRounds, SiteView
from dashboard.page import Tools
from dashboard.rows.consortium.sites import budget_rows, connection_rows, round_rows
from tests.support.hospital.consortium_home import ConsortiumHome
from tests.support.simulated import dossiers
from tests.support.simulated.folder_page import page_over, rows, words

NOW = datetime(2026, 11, 29, 10, tzinfo=UTC)


def site(name: str, **given: object) -> SiteView:
    newest = replace(
        dossiers.finished().sites[0].privacy, site=name, engine="vmap", torch="2.13.0", opacus=""
    )
    said: dict[str, object] = {
        "site": name, "state": "enrolled", "certificate_until": None, "roster": 1, "runs": 1,
        "newest": newest, "newest_run": "run-1", "software": {"PyTorch": "2.13.0"},
        "rounds": SiteRounds(),
    }  # fmt: skip
    return SiteView(**(said | given))  # type: ignore[arg-type]


def test_hospitals_of_a_simulation_stand_with_their_part_and_their_budget(
    genuine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = page_over(genuine, monkeypatch).look("sites")
    connections, part, budgets = (rows(page, place) for place in range(3))
    assert [row["Hospital"] for row in connections] == ["east", "north", "south", "west"]
    assert {row["Connection"] for row in connections} == {"in this machine"}
    assert {row["In the sum"] for row in part} == {"6 of 6 rounds"}
    assert all(" s (half are shorter), " in row["Time to its update"] for row in part)
    assert {row["Signed in run"] for row in budgets} == {"run-2"}
    assert "rank" not in words(page).lower() and "4 hospitals" in words(page)


def test_members_stand_with_who_is_heard_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = ConsortiumHome(tmp_path / "home")
    home.found("east", "north")
    home.invite("west")
    now = datetime.now(UTC).timestamp()
    tools = Tools(last_seen=lambda: {"east": now, "north": now - 3600})
    page = page_over(home.root, monkeypatch, tools=tools).look("sites")
    home.store.close()
    [east, north, west] = rows(page, 0)
    assert east["Connection"].startswith("online, last heard ") and east["Roster"] == "1"
    assert north["Connection"].startswith("silent since ")
    assert (west["State"], west["Connection"]) == (
        "invited", "not heard from since the service began"
    )  # fmt: skip
    assert east["Software"] == "no run yet"
    assert "No run yet" in words(page)


def test_without_a_service_nobody_says_who_is_there() -> None:
    [row] = connection_rows([site("east")], None, NOW)
    assert row["Connection"] == "unknown: no service runs"


def test_a_certificate_that_was_not_renewed_or_has_ended_is_pointed_out() -> None:
    ends = {"east": "2026-11-30T09:00:00.000Z", "north": "2026-11-29T09:00:00.000Z",
            "west": "2026-12-09T10:00:00.000Z"}  # fmt: skip
    found = [site(name, certificate_until=until) for name, until in ends.items()]
    east, north, west = (row["Certificate until"] for row in connection_rows(found, {}, NOW))
    assert east.endswith("not renewed yet") and north.startswith("ENDED ")
    assert "renewed" not in west


def test_software_that_differs_from_most_is_pointed_out() -> None:
    found = [site("a"), site("b"), site("c", software={"PyTorch": "2.12.1"})]
    told = [row["Software"] for row in connection_rows(found, {}, NOW)]
    assert told == ["PyTorch 2.13.0", "PyTorch 2.13.0", "PyTorch 2.12.1 (most have 2.13.0)"]


def test_times_and_bytes_are_told_where_rounds_keep_them() -> None:
    rounds = SiteRounds(
        asked=10, joined=8, dropped=2, updates=(1.0, 2.0, 30.0), sent=1_500_000, received=999
    )
    [row] = round_rows([site("east", rounds=rounds)])
    assert row["In the sum"] == "8 of 10 rounds" and row["Dropped out"] == "2"
    assert row["Time to its update"].startswith("2.0 s (half are shorter), 30.0 s")
    assert (row["Sent"], row["Received"]) == ("1.5 MB", "999 B")


def test_a_hospital_without_a_run_has_no_part_and_no_budget() -> None:
    fresh = site("east", runs=0, newest=None, newest_run=None, software={})
    assert round_rows([fresh]) == budget_rows([fresh]) == []


def test_a_budget_that_is_not_told_is_no_zero() -> None:
    one = site("east")
    assert one.newest is not None
    bare = replace(one, newest=replace(one.newest, budget_share=None, budget_epsilon=None))
    [row] = budget_rows([bare])
    assert row["Left"] == row["Used"] == row["Budget ε"] == "not recorded"
