"""Rows are held to the log before gates are judged by them, and nobody waits for that."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from coordinator.audit.verification import verify_rows
from coordinator.database.store import Store
from coordinator.database.workspace import Workspace
from coordinator.governance.models.register import ChecksRows
from protocol.errors import StoreBroken
from tests.support.simulated.registered_models import RULES, Register

Made = Callable[[ChecksRows], Register]


@pytest.fixture
def out(two_runs: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(two_runs, tmp_path / "registered"))


@pytest.fixture
def made(out: Path) -> Iterator[Made]:
    known: list[Register] = []

    def make(check: ChecksRows) -> Register:
        known.append(Register(out, check))
        return known[-1]

    yield make
    known[0].store.close()


@pytest.mark.parametrize("action", ["canary", "promote"])
def test_thresholds_that_were_changed_past_the_log_let_no_version_through(
    action: str, made: Made, out: Path
) -> None:
    register = made(partial(verify_rows, public=Workspace.open(out).public_key()))
    register.act("register", version=register.first, rules=RULES)
    if action == "promote":
        register.act("canary", version=register.first, sites=("east", "north"))
    before = register.stages
    with register.store.transaction() as transaction:
        transaction.session.execute(
            text("UPDATE model_line SET rules_json = replace(rules_json, '1.0', '2.0')")
        )
    sites = {"sites": ("east", "north")} if action == "canary" else {}
    change = None
    with pytest.raises(StoreBroken, match="model_line"):
        change = register.act(action, version=register.first, **sites)["change"]
        register.people.confirm("Dr. Bea Officer", change)
    assert register.stages == before
    assert (change is None) is (action == "canary")


def test_others_write_while_rows_are_checked(made: Made) -> None:
    written = []

    def check(session: Session) -> None:
        with closing(Store(register.workspace.database)) as other, other.transaction() as beside:
            beside.session.execute(text("SELECT 1"))
            written.append(True)

    register = made(check)
    register.to_canary(register.first)
    assert written
