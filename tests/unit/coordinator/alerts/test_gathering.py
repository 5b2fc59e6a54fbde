"""What alerts are judged by is what was released, signed and counted; and no exact figure."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from coordinator.alerts.facts import AlertFacts
from coordinator.alerts.gathering import Heard, gathered
from coordinator.alerts.judging import judged
from coordinator.database.store import RoundRow, RunRow, Store
from coordinator.database.workspace import Workspace
from coordinator.rounds.attempts.conduct import Conduct
from coordinator.views.views import open_views
from tests.support.hospital.consortium_home import ConsortiumHome
from tests.support.simulated.alert_facts import NOW, RULES, only
from tests.support.simulated.begun_run import RUN, begin_run
from tests.support.simulated.output_folder import RUNS, change


def look(folder: Path, now: datetime = NOW, **given: object) -> AlertFacts:
    workspace = Workspace.open(folder)
    with closing(Store(workspace.database)) as store:
        return gathered(store, workspace, now, **given)  # type: ignore[arg-type]


def test_released_figures_are_those_of_the_dossier(folder: Path) -> None:
    found = look(folder).evaluated
    assert found is not None and [run.run_id for run in found] == [*reversed(RUNS)]
    with closing(open_views(folder)) as views:
        for run in found:
            dossier = views.dossier(run.run_id)
            assert (run.risks, run.gaps) == (dossier.risks, dossier.largest_gaps)
            assert run.study == dossier.study_name
    assert found[0].question == found[1].question


def test_gaps_between_groups_are_those_of_the_dossier(folder: Path) -> None:
    def figures(value: float) -> dict[str, object]:
        return {"sensitivity": {"value": value, "low": value - 0.1, "high": value + 0.1}}

    groups = [
        {"grouping": "sex", "group": group, "figures": figures(value)}
        for group, value in (("women", 0.5), ("men", 0.9))
    ]
    change(
        folder,
        f"UPDATE release SET payload_json = json_set(payload_json, '$.groups', json('"  # noqa: S608
        f"{json.dumps(groups)}')) WHERE kind = 'evaluation'",
    )
    found = look(folder).evaluated
    assert found is not None
    with closing(open_views(folder)) as views:
        told = views.dossier(RUNS[-1]).group_gaps["sex"]
    assert found[0].group_gaps["sex"] == {k: gap for k, gap in told.items() if gap is not None}
    assert set(found[0].group_gaps["sex"]) == {"sensitivity"}


def test_each_hospitals_share_is_the_one_that_it_signed_last(folder: Path) -> None:
    with closing(open_views(folder)) as views:
        signed = {s.site: s.privacy.budget_share for s in views.dossier(RUNS[-1]).sites}
        first = {s.site: s.privacy.budget_share for s in views.dossier(RUNS[0]).sites}
    found = look(folder).shares
    assert found is not None and {one.site: one.share for one in found} == signed != first
    assert {one.run_id for one in found} == {RUNS[-1]}


def test_no_exact_figure_changes_what_is_found(folder: Path) -> None:
    before = look(folder)
    exact = json.dumps({"auroc": 0.123456789, "sites": {}})
    change(folder, f"UPDATE run SET exact_json = '{exact}'")  # noqa: S608
    change(folder, "UPDATE reference SET figures_json = '{\"auroc\": 0.987654321}'")
    assert look(folder) == before
    change(folder, "UPDATE run SET exact_json = NULL")
    assert look(folder) == before


def test_verifying_counts_the_faults_of_the_records(folder: Path) -> None:
    assert look(folder).faults is None
    assert look(folder, verify=True).faults == 0
    change(folder, "UPDATE run SET seed = 5 WHERE id = 'run-1'")
    with closing(open_views(folder)) as views:
        told = views.verification().faults
    assert look(folder, verify=True).faults == len(told) > 0


def test_a_damaged_record_hides_neither_the_others_nor_itself(folder: Path) -> None:
    change(folder, "UPDATE study SET document = X'00'")
    found = look(folder, verify=True)
    assert found.evaluated is None and found.shares is not None
    assert found.faults
    assert "not-verified" in {cause.rule for cause in judged(found, RULES).causes}


def test_a_simulation_has_no_certificate_and_no_service(folder: Path) -> None:
    found = look(folder)
    assert found.expiries == () and found.heard is None and found.drift is None
    assert judged(found, RULES).unknown == {"drift", "hospital-silent", "not-verified"}


def attempt(number: int, state: str, *dropped: str, **conduct: object) -> RoundRow:
    survivors = sorted({"east", "north", "south", "west"} - set(dropped))
    return RoundRow(
        run_id=RUN, round_kind="training", number=number // 10, attempt=number % 10, state=state,
        context=f"{number:064d}", survivors_json=json.dumps(survivors),
        dropped_json=json.dumps(dropped),
        conduct_json=Conduct(**conduct).text, context_json="{}", opened_at="x",  # type: ignore
    )  # fmt: skip


def test_the_newest_run_says_whose_sums_were_noise_and_who_was_there(tmp_path: Path) -> None:
    folder = begin_run(tmp_path / "home")
    with closing(Store(Workspace(folder).database)) as store:
        with store.transaction() as transaction:
            transaction.write_all([
                attempt(0, "finished"),
                attempt(10, "failed", suspects=("a", "b")),
                attempt(11, "failed", suspects=("a",)),
                attempt(12, "finished", "east", "west", suspects=("a",)),
                attempt(20, "failed", left_out={"a": "one of the suspects"}),
                attempt(30, "open"),
            ])  # fmt: skip
            study = transaction.session.get_one(RunRow, RUN).study_digest
        with store.read() as session:
            assert session.get_one(RunRow, RUN).study_digest == study
    (found,) = look(folder).rounds or ()
    assert (found.run_id, found.refused, found.suspects) == (RUN, 1, ("a", "b"))
    everybody = frozenset({"east", "north", "south", "west"})
    assert found.finished == (everybody, everybody - {"east", "west"})


@pytest.fixture
def home(tmp_path: Path) -> Iterator[ConsortiumHome]:
    made = ConsortiumHome(tmp_path / "home")
    yield made
    made.store.close()


def rules_raised(found: AlertFacts) -> set[str]:
    return {cause.rule for cause in judged(found, RULES).causes}


def test_certificates_and_roster_are_told_before_they_end(home: ConsortiumHome) -> None:
    home.found("lyon", "ulm")
    now = home.clock.now
    assert rules_raised(look(home.root, now)) == set()
    late = look(home.root, now + timedelta(days=6.5))
    assert {cause.sites for cause in judged(late, only("certificate")).causes} == {
        ("lyon",),
        ("ulm",),
    }
    assert "own-certificate" in rules_raised(look(home.root, now + timedelta(days=75)))
    assert "roster-ends" in rules_raised(look(home.root, now + timedelta(days=340)))


def test_a_certificate_that_was_renewed_or_revoked_ends_no_more(home: ConsortiumHome) -> None:
    home.found("lyon", "ulm")
    home.clock.move(days=6.5)
    home.accept(home.invite("lyon"), home.keys["lyon"])
    home.members.revoke("ulm", "left")
    assert rules_raised(look(home.root, home.clock.now)) == set()


def test_a_member_is_silent_as_long_as_the_service_has_waited_for_it(home: ConsortiumHome) -> None:
    home.found("lyon", "ulm")
    now = home.clock.now
    began = (now - timedelta(minutes=90)).timestamp()
    heard = Heard(began=began, last_seen={"lyon": now.timestamp() - 60, "stranger": 1.0})
    found = look(home.root, now, heard=heard)
    assert found.heard == {
        "lyon": now - timedelta(minutes=1),
        "ulm": datetime.fromtimestamp(began, UTC),
    }
    (cause,) = judged(found, only("silent")).causes
    assert cause.sites == ("ulm",)
    young = Heard(began=now.timestamp() - 60, last_seen={})
    assert judged(look(home.root, now, heard=young), only("silent")).causes == ()
