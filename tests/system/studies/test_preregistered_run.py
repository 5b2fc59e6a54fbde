"""A preregistered study from its registration to a report: a hospital leaves, people say why."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from collegium.cli import main as cli
from compliance.facts.dossier.preregistration import preregistration_outcome
from compliance.reports.evidence import ReportSubject
from compliance.reports.kinds import KINDS
from compliance.reports.renderers import render_json
from coordinator.audit.verification import verify_records
from coordinator.views.views import Views, open_views
from tests.support.hospital.people import CLEO, People, write_key_file
from tests.support.simulated.federation import Federation
from tests.support.simulated.preregistered import preregistered

TEXT = "West replaced its scanner; its last answers are missing."


def asked(*words: str) -> str:
    found = CliRunner().invoke(cli.app, [*words])
    assert found.exit_code == 0, found.output
    return found.stdout


def report(views: Views, until: int | None = None) -> str:
    facts = views.subject("run", "run-1", until)
    return render_json(KINDS["study-dossier"].make(ReportSubject(facts=facts)))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Federation:
    federation = Federation(tmp_path_factory.mktemp("ran"), preregistered())
    federation.link.lost = lambda site, _request: (
        site == "west" and len(federation.watch.rounds) == 2  # both of training are over
    )
    federation.run()
    return federation


def test_who_left_what_is_undecided_and_what_people_declare(ran: Federation) -> None:
    folder = ran.workspace.root
    with closing(open_views(folder)) as views:
        before = report(views)
        until = views.subject("run", "run-1").log.size
    with ran.store.read() as session:
        verify_records(session, ran.workspace.public_key())
    people = People.over(ran.store, ran.workspace.signing_key())
    people.found()
    key = write_key_file(people.key(CLEO), folder.parent / "cleo.key")
    asked("runs", "deviate", "run-1", TEXT, "--out", str(folder), "--as", str(key))
    (found,) = json.loads(asked("runs", "preregistration", "small", "--out", str(folder), "--json"))
    deviations = {one["kind"]: one["text"] for one in found["deviations"]}
    assert "west joined and was missing in 1 of 3 sums" in deviations["hospital_leaves"]
    assert found["contingencies"][1]["happened"] and not found["earlier_runs"]
    alike = next(one for one in found["hypotheses"] if one["name"] == "alike")
    every = next(one for one in alike["criteria"] if one["of"] == "every_hospital")
    assert {"part": "west", "verdict": "cannot be decided"}.items() <= every["figures"][-1].items()
    assert [one["text"] for one in found["declared"]] == [TEXT]
    said = asked("runs", "preregistration", "run-1", "--out", str(folder))
    assert "declared   West replaced its scanner" in said and "Cleo Lead (lead)" in said
    with closing(open_views(folder)) as views:
        outcome = preregistration_outcome(views.dossier("run-1"))
        assert outcome is not None and outcome.to_json() == found
        assert TEXT in report(views) and report(views, until) == before


def test_a_run_without_preregistration_is_told_so(ran: Federation, tmp_path: Path) -> None:
    found = CliRunner().invoke(
        cli.app, ["runs", "preregistration", "nothing", "--out", str(ran.workspace.root)]
    )
    assert found.exit_code != 0
