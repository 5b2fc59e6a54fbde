"""``silo budget``: what is left, what a study would cost, and nothing is ever changed."""

import doctest
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from collegium.cli import main as cli
from collegium.studies.preflight import describe_study
from collegium.verification.budget import show_budgets
from compliance.ledger.entries import Partition, Reservation
from compliance.ledger.privacy_plan import PrivacyPlan
from compliance.privacy import rounding
from compliance.privacy.budget_filter import Filter
from compliance.privacy.events import SampledGaussian
from compliance.privacy.rounding import TWO_FIGURES, percent
from protocol.errors import LedgerBroken, StoreBroken, WorkspaceRefused
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study
from protocol.study.study_file import read_study
from silos.database.database import SiteDatabase, open_hospital, read_hospital
from silos.operations.budget_text import forecast_text
from tests.support.simulated.bookings import HELD
from tests.support.simulated.federation import Federation
from tests.support.simulated.studies import changed

STUDY = changed("epsilon: 4", "epsilon: 2")
QUIET = Console(quiet=True)
EVENT = SampledGaussian(noise_multiplier=10.0, sampling_rate=1.0, steps=100)
SHARE = SampledGaussian(noise_multiplier=10.0, sampling_rate=1.0, steps=30)


def reserve(hospital: SiteDatabase, partition: Partition, run: str = "run-1") -> Reservation:
    """Books 2 rho of the 4.912 that epsilon 8 holds."""
    return hospital.ledger.reserve(
        study="5" * 64, run=run, partition=partition, round_kind=partition, event=EVENT
    )


def cheap_study() -> Study:
    return read_study(STUDY)


def plan_of(study: Study) -> PrivacyPlan:
    assert isinstance(study.privacy, PatientPrivacy)
    return PrivacyPlan.of(study, study.privacy)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Two hospitals: east has an open plan of which a part was sent, north has done nothing."""
    for site in ("east", "north"):
        home = tmp_path / "out" / "silos" / site
        home.mkdir(parents=True)
        hospital = open_hospital(home / "hospital.db", site=site)
        hospital.ledger.open_budget(epsilon_max=8.0, delta=2e-5, signed_by=site)
        if site == "east":
            plan = reserve(hospital, "training")
            hospital.ledger.mark_sent(plan, context="c", event=SHARE, blob="b", content="c")
        hospital.close()
    return tmp_path / "out"


def database(out: Path, site: str = "east") -> Path:
    return out / "silos" / site / "hospital.db"


def state(out: Path) -> dict[str, tuple[bytes, int]]:
    return {
        str(path.relative_to(out)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in out.rglob("*")
        if path.is_file()
    }


def budgets(out: Path, **words: Any) -> dict[str, Any]:
    found = show_budgets(out, words.get("site"), words.get("study"), QUIET)["hospitals"]
    assert isinstance(found, dict)
    return found


def test_budget_says_what_is_spent_reserved_and_left(out: Path) -> None:
    east = budgets(out)["east"]
    line = east["partitions"]["training"]
    assert line["share_spent"] == pytest.approx(0.6 / HELD)
    assert line["share_reserved"] == pytest.approx(1.4 / HELD)
    assert sum(line[f"share_{what}"] for what in ("spent", "reserved", "remaining")) == 1.0
    assert east["partitions"]["evaluation"]["share_remaining"] == pytest.approx(1.0)


def test_budget_lists_open_reservations_only(out: Path) -> None:
    hospital = open_hospital(database(out), site="east")
    closed = reserve(hospital, "evaluation", "run-0")
    hospital.ledger.settle(closed)
    hospital.close()
    found = budgets(out)
    assert found["north"]["open_reservations"] == []
    (plan,) = found["east"]["open_reservations"]
    assert (plan["run"], plan["partition"], plan["study"]) == ("run-1", "training", "5" * 64)
    assert plan["share_sent"] / plan["share_planned"] == pytest.approx(0.3)


def test_forecast_costs_what_joining_would_then_book(out: Path) -> None:
    study = cheap_study()
    forecast = budgets(out, study=study)["east"]["forecast"]
    hospital = open_hospital(database(out), site="east")
    before = hospital.ledger.summary().of("training").committed
    plan_of(study).reserved(hospital.ledger, study.digest, "run-2")
    after = hospital.ledger.summary().of("training").committed
    assert hospital.ledger.share_of("run-2") == pytest.approx(after - before)
    hospital.close()
    assert forecast["fits"] and forecast["share"] == pytest.approx(after - before)
    assert forecast["remaining"] == pytest.approx(1 - before)
    assert f"takes {percent(after - before)} of the budget" in forecast["text"]


def test_forecast_says_when_one_group_of_patients_cannot_pay(out: Path) -> None:
    hospital = open_hospital(database(out), site="east")
    reserve(hospital, "evaluation", "a")
    reserve(hospital, "evaluation", "b")
    hospital.close()
    forecast = budgets(out, study=cheap_study())["east"]["forecast"]
    assert not forecast["fits"] and forecast["runs"] == 0
    assert forecast["text"].endswith("it does NOT fit")


def test_runs_without_privacy_on_the_same_patients_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private = "{mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}"
    study = read_study(changed(private, "{mode: none, sampling_rate: 1.0}"))
    federation = Federation(tmp_path, study)
    federation.run()
    out = federation.workspace.root
    found = show_budgets(out, None, None, Console(file=sys.stdout, width=200))
    assert found["runs_without_privacy"] == ["run-1"]
    assert "trained on the same patients without differential privacy: " in capsys.readouterr().out


def test_looking_changes_no_byte_and_no_time(out: Path) -> None:
    before = state(out)
    budgets(out, study=cheap_study())
    assert state(out) == before


def test_looking_into_a_killed_hospital_leaves_its_database_and_log_alone(
    out: Path, tmp_path: Path
) -> None:
    hospital = open_hospital(database(out), site="east")
    reserve(hospital, "evaluation")
    killed = tmp_path / "killed"
    shutil.copytree(out, killed)  # as it lies on the disk while the process runs
    hospital.close()
    log = database(killed).with_name("hospital.db-wal")
    before = state(killed)
    assert budgets(killed)["east"]["ledger_entries"] == 3 and len(log.read_bytes()) > 0
    index = "silos/east/hospital.db-shm"  # SQLite's own index of the log; holds nothing
    assert {k: v for k, v in state(killed).items() if k != index} == {
        k: v for k, v in before.items() if k != index
    }


def test_looking_does_not_wait_for_a_hospital_at_work(out: Path) -> None:
    hospital = open_hospital(database(out), site="east")
    with hospital.transaction():
        assert budgets(out)["east"]["ledger_entries"] == 2
    hospital.close()


@pytest.fixture
def seen(out: Path) -> Iterator[SiteDatabase]:
    hospital = read_hospital(database(out), site="east")
    yield hospital
    hospital.close()


def test_hospital_opened_for_reading_cannot_be_changed(seen: SiteDatabase) -> None:
    head = seen.ledger.head
    with pytest.raises(LedgerBroken, match="readonly database"):
        reserve(seen, "evaluation")
    with pytest.raises(StoreBroken, match="readonly database"):
        seen.signing_record().record(("c", "sign", "d"))
    assert seen.ledger.head == head


def test_hospital_of_another_name_is_not_read(out: Path) -> None:
    with pytest.raises(WorkspaceRefused, match="belongs to hospital east, not west"):
        read_hospital(database(out), site="west")


def test_missing_hospital_is_not_made_by_looking(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceRefused, match="nothing.db cannot be opened"):
        read_hospital(tmp_path / "nothing.db", site="east")
    assert list(tmp_path.iterdir()) == []


def test_database_of_another_version_is_not_read(out: Path) -> None:
    with sqlite3.connect(database(out)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'hospital_0000'")
    connection.close()
    with pytest.raises(LedgerBroken, match="site east: .* written by another version"):
        read_hospital(database(out), site="east")


def run(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["collegium", "silo", "budget", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code if isinstance(ended.value.code, int) else 0


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path / "study.yaml"


def test_command_speaks_to_people_and_machines(
    out: Path, study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--out", out, "--study", study, "--site", "east", "--json") == 0
    said = capsys.readouterr()
    assert list(json.loads(said.out)["hospitals"]) == ["east"]
    words = json.loads(said.out)["hospitals"]["east"]["forecast"]["text"]
    assert f"east: {words}" in said.err and words.startswith("this study takes ")
    assert "run run-1 holds 41 % for its training, 13 % is sent" in said.err
    assert TWO_FIGURES in " ".join(said.err.split())


def test_a_study_takes_the_same_part_wherever_it_is_asked(
    out: Path, study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For a hospital with that budget, study check and silo budget name one price in one unit."""
    (forecast,) = budgets(out, site="north", study=read_study(STUDY)).values()
    monkeypatch.setattr(sys, "argv", ["collegium", "study", "check", str(study), "--budget", "8"])
    with pytest.raises(SystemExit):
        cli.main()
    said = " ".join(capsys.readouterr().out.split())
    limit = Filter(epsilon_max=8.0, delta=1e-3)
    plan = plan_of(read_study(STUDY))
    share = limit.share_of((plan.training, plan.evaluation))
    assert f"take {percent(share)} of a hospital's budget for life of epsilon 8" in said
    assert describe_study(read_study(STUDY), Console(quiet=True), 8.0)["budget"] == {
        "epsilon": 8.0, "share": share, "is_enough": True
    }  # fmt: skip
    assert not describe_study(read_study(STUDY), Console(quiet=True), 1.0)["budget"]["is_enough"]
    assert forecast["forecast"]["share"] > share  # this one was opened with a smaller delta


def test_study_that_protects_nobody_costs_no_finite_epsilon(out: Path) -> None:
    hospital = open_hospital(database(out), site="east")
    nobody = SampledGaussian(noise_multiplier=0.0, sampling_rate=1.0, steps=1)
    plans = replace(plan_of(cheap_study()), training=nobody).plans(apart=False)
    found = hospital.ledger.forecast(plans)
    hospital.close()
    assert (found.share, found.runs, found.fits) == (None, 0, False)
    assert forecast_text(found) == "this study protects nobody"


def break_file(out: Path) -> None:
    database(out).write_bytes(b"this is a letter, not a ledger. " * 200)


def empty_file(out: Path) -> None:
    database(out).write_bytes(b"")


def change_row(out: Path) -> None:
    with sqlite3.connect(database(out)) as connection:
        connection.execute("DROP TRIGGER ledger_entry_no_update")
        connection.execute("UPDATE ledger_entry SET rho_upper = 0")
    connection.close()


def remove_hospitals(out: Path) -> None:
    shutil.rmtree(out / "silos")


def swap_hospitals(out: Path) -> None:
    os.replace(database(out, "north"), database(out))


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (break_file, "site east: hospital.db is not a readable database"),
        (empty_file, "site east: hospital.db is empty"),
        (change_row, "site east: ledger entry 1 was changed"),
        (swap_hospitals, "belongs to hospital north, not east"),
        (remove_hospitals, "holds no simulated hospitals"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_damage_is_refused_in_words_and_exit_code_two(
    out: Path,
    harm: Any,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    harm(out)
    assert run(monkeypatch, "--out", out, "--json") == 2
    said = capsys.readouterr()
    assert message in said.err and "Traceback" not in said.err and said.out == ""


@pytest.mark.parametrize("site", ["west", "../east", ""])
def test_unknown_site_is_refused(
    out: Path, site: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--out", out, "--site", site) == 2
    assert f"--site {site!r} is not here: there are east, north" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("mode: per_site, epsilon: 2, delta: 1e-3, clip: 1.0", "mode: none", "costs no budget"),
        ("name: east", "name: berlin", None),
        ("epsilon: 2", "epsilon: -2", "greater than or equal to 0.000001"),
    ],
)
def test_studies_that_cannot_be_forecast_are_refused(
    out: Path,
    study: Path,
    old: str,
    new: str,
    message: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert old in STUDY
    study.write_text(STUDY.replace(old, new))
    words = ("--out", out, "--study", study, "--site", "east")
    assert run(monkeypatch, *words) == 2
    assert (message or "none of these hospitals") in capsys.readouterr().err


def test_hospital_without_a_budget_is_named(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = out / "silos" / "west"
    home.mkdir()
    open_hospital(home / "hospital.db", site="west").close()
    assert run(monkeypatch, "--out", out) == 2
    assert "site west: this hospital has not opened a privacy budget" in capsys.readouterr().err


def test_output_holds_no_key_and_no_folder(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hospital = open_hospital(database(out), site="east")
    secrets = (hospital.identity_key.hex(), hospital.split_key.hex(), str(out))
    hospital.close()
    assert run(monkeypatch, "--out", out, "--json") == 0
    said = capsys.readouterr()
    assert not [secret for secret in secrets if secret in said.out + said.err]


def test_examples_in_the_words_of_a_budget_hold() -> None:
    assert doctest.testmod(rounding).failed == 0
