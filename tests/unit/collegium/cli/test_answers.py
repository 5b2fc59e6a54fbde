"""A question is answered on stdout, an act is told about on stderr; no command is left out."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner, Result

from collegium.cli import main as cli
from collegium.reports.export import export_report
from collegium.reports.request import ReportRequest
from collegium.verification.proofs import folder_policy, make_proof
from compliance.audit.witness import make_folder as make_witness
from compliance.storage.clock import timestamp
from coordinator.alerts.watch import AlertWatch
from coordinator.database.store import RunRow, Store
from coordinator.database.workspace import Workspace
from coordinator.runs.admin_socket.answering import controlling
from coordinator.runs.service import Service
from coordinator.views.views import open_views
from protocol.identity.roster import SigningKey
from protocol.study.study_file import read_study
from silos.database.approvals import approvals_of
from silos.database.database import open_hospital
from silos.database.joined_runs import JoinedRuns, RunState
from silos.database.trusted_rosters import TrustedRosters
from tests.support.hospital.consortium_home import ConsortiumHome
from tests.support.hospital.hospital_home import OFFICER, enrol, make_east
from tests.support.machine.short_form import short_form
from tests.support.simulated.output_folder import RUNS, make_folder
from tests.support.simulated.studies import changed, small_study

DIGEST = small_study().digest
#: Its noise is so wide that every run withholds its figures.
WITHHOLDING = read_study(changed("evaluation: {bins: 8}", "evaluation: {bins: 8, epsilon: 0.01}"))
RUN = "20260101T120000-9f0c"
_PRIVATE = "mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0"
#: One of something is not several.
ONE_OF_MANY = re.compile(
    r"(?<![\d.,])1 (?:[a-z]+ )?(?:runs|rounds|steps|studies|models|faults|entries|heads|days|sites|"
    r"hospitals|patients|records|columns)\b"
)
ROOT: Any = typer.main.get_command(cli.app)

#: What a person asks, with words of the answer; FOLDER, EAST, STUDY and HOME stand for places.
QUESTIONS = {
    "runs list": ("--out FOLDER", "run-1"),
    "runs show": ("run-1 --out FOLDER", "AUROC"),
    "report list": ("", "privacy-statement"),
    "report verify": ("MADE --out FOLDER", "not checked"),
    "audit verify": ("--out FOLDER", "not checked at"),
    "audit policy": ("--out FOLDER", "quorum hospitals"),
    "audit prove": ("run-1 --out FOLDER --to PROOF", "cosigned by"),
    "audit verify-proof": ("PROOF --policy POLICY", "verified  entry"),
    "audit witness show": ("--home WITNESS", "witness.example.org"),
    "audit recompute": ("2 --out FOLDER", "recomputed bit by bit"),
    "alerts check": ("--out FOLDER", "signed that at least"),
    "alerts list": ("--out FOLDER", "signed that at least"),
    "alerts show": ("2 --out FOLDER", "signed that at least"),
    "alerts rules": ("", "collegium_alerts: 1"),
    "study check": ("STUDY", "a valid study"),
    "study plan": ("--patients 900,900,900 --epsilon 1", "AUROC"),
    "study schema": ("", "A Collegium study"),
    "study templates": ("", "worked template"),
    "silo budget": ("--home EAST", "epsilon 20"),
    "silo status": ("--home EAST", "never started: collegium silo start"),
    "silo check": ("STUDY --home EAST", "site file"),
    "silo studies": ("--home EAST", "may NOT run"),
    "silo patients consent": ("STUDY --home EAST", "consent"),
    "silo patients used": ("nobody --home EAST", "in no run that is known here"),
    "silo results": ("--home EAST", "none here"),
    "silo log": ("--home EAST", "no head is held yet"),
    "silo schema": ("", "properties"),
    "silo roster show": ("--home EAST", "trusted"),
    "silo roster compare": ("--home EAST", "Call each hospital by a number"),
    "silo key show": ("--home EAST", "own key"),
    "coordinator members": ("--home HOME", "east"),
    "coordinator roster show": ("--home HOME", "roster 1, valid until"),
    "coordinator status": ("--home HOME", "attributed to NOBODY"),
    "people list": ("--home HOME", "attributed to NOBODY"),
    "people acts": ("--home HOME", "attributed to NOBODY"),
    "people review": ("--home HOME", "no two people can do it"),
    "people policy": ("--home HOME", "hospital.revoke"),
    "people account list": ("--home HOME", "nobody has an account"),
    "people account links": ("--home HOME", "nobody logs in at a provider"),
    "coordinator hold list": ("--home HOME", "audit log"),
    "incident list": ("--home HOME", "no incident is open"),
    "incident playbook": ("lost-key", "suspend"),
    "models list": ("--out FOLDER", "in no model yet"),
    "infer log": ("--home EAST", "no query was logged yet"),
    "infer served": ("--home EAST --at 2026-03-03", "nothing was ever loaded here"),
    "models diff": ("run-1 run-2 --out FOLDER", "moved by"),
}
#: What changes something, or starts something: all that it tells is for a person.
ACTS = {
    "audit witness init", "audit witness trust", "audit witness start",
    "demo", "simulate", "network-demo", "sweep", "baselines", "compare", "redteam", "dashboard",
    "monitor plan", "monitor run",
    "runs export-mlflow", "runs deviate", "runs crate", "kit make", "kit check",
    "report export", "report performance", "report chart", "report declarations", "report sign",
    "study new", "study copy", "study synthetic", "study register",
    "study statistics", "study normalise", "study croissant", "silo freeze", "silo croissant",
    "silo patients opt-out", "silo patients retention",
    "silo init", "silo grant", "silo attest", "silo approve", "silo withdraw", "silo backup",
    "silo restore", "silo restored", "silo enrol", "silo start", "silo stop",
    "silo roster sign", "silo roster trust", "silo roster leave", "silo key rotate",
    "silo ledger write-off", "silo run leave",
    "coordinator init", "coordinator invite", "coordinator revoke", "coordinator hosts",
    "coordinator rotate", "coordinator start", "coordinator run", "coordinator pause",
    "coordinator resume", "coordinator stop", "coordinator roster propose",
    "alerts acknowledge", "audit export", "audit verifier", "audit timestamp",
    "people key", "people found", "people propose", "people roles", "people retire",
    "people confirm", "people withdraw", "people change-policy",
    "people account set", "people account remove", "people account unlock",
    "people account link", "people account unlink",
    "coordinator hold place", "coordinator hold lift",
    "models register", "models canary", "models end-canary", "models promote", "models roll-back",
    "models retire", "models name", "models shadow", "models export", "models attack", "reproduce",
    "weights keygen", "weights seal", "weights rewrap", "weights retire", "weights open",
    "infer score", "infer serve", "infer statement", "models confirm-served",
    "incident open", "incident contain", "incident confirm", "incident notify", "incident close",
}  # fmt: skip
#: Questions that need a folder of another kind: their own tests ask them.
ELSEWHERE = {
    "runs verify-crate",
    "monitor show",
    "runs preregistration",
    "audit verify-timestamp",
    "incident show",
    "models show",
    "models served",
    "silo leak-check",
    "models verify",
    "weights list",
    "infer token",
}
#: Acts that need nothing but the places here, with words of what they tell.
TOLD = {
    "study new": ("--to NEW", "a valid study template"),
    "study register": ("STUDY --home HOME", "registered"),
    "runs export-mlflow": ("run-1 --to MLFLOW --out FOLDER", "1 new, 0 updated"),
    "runs crate": ("run-1 --to CRATE --out FOLDER", "files of run run-1"),
    "study croissant": ("STUDY --to CROISSANT", "5 fields, no record"),
    "report export": ("run-1 --to REPORT --format csv --out FOLDER", "wrote"),
    "report chart": ("--to CHART --out FOLDER", "wrote"),
    "report declarations": ("--to DECLARATIONS", "wrote"),
    "audit verifier": ("--to VERIFIER", "wrote"),
    "alerts acknowledge": ("1 --out FOLDER --by Nobody", "taken note"),
    "silo withdraw": ("DIGEST --home EAST --by Nobody", "withdrawn"),
    "silo stop": ("--home EAST", "no supervisor is at work"),
    "coordinator roster propose": ("--home HOME --renew", "roster 2"),
    "people key": ("--to NEWKEY --no-passphrase", "public"),
    "incident open": ("Trial --kind other --home HOME", "left to notify"),
    "coordinator revoke": ("east --home HOME --reason moved", "revoked"),
}


def commands(group: Any = ROOT, before: tuple[str, ...] = ()) -> Iterator[str]:
    """Yields the words of every command that Collegium has."""
    if not hasattr(group, "commands"):
        yield " ".join(before)
        return
    for name, command in group.commands.items():
        yield from commands(command, (*before, name))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A folder with two runs, an enrolled hospital with a decision, and its served coordinator."""
    folder = tmp_path_factory.mktemp("answers")
    (folder / "runs").mkdir()
    east = make_east(folder)
    consortium = ConsortiumHome(folder / "c")
    enrol(east, consortium)
    with closing(open_hospital(east / "hospital.db", site="east")) as hospital:
        consortium.keys["east"] = SigningKey.from_bytes(hospital.identity_key)
        consortium.enrol("lyon", "oslo")
        consortium.sign("east", "lyon", "oslo")
        signed = consortium.members.rosters.current()
        assert signed is not None
        TrustedRosters(hospital).keep(signed)
        JoinedRuns(hospital).record(RUN, study=DIGEST, state=RunState.LEFT)
        approvals_of(hospital).approve(DIGEST, approver=OFFICER, approvers=[OFFICER], reason="")
    consortium.store.close()
    service = Service(folder / "c")
    runs = make_folder(folder / "runs", WITHHOLDING)
    rules = "collegium_alerts: 1\nrules:\n  - {name: low, kind: budget, share: 0.001}\n"
    (runs / "alert-rules.yaml").write_text(rules)
    (folder / "policy").write_bytes(folder_policy(runs).to_bytes)
    (folder / "r.tlog-proof").write_bytes(make_proof(runs, "run-1").proof.to_bytes)
    make_witness(folder / "witness", "witness.example.org/ethics")
    with closing(AlertWatch(runs)) as watch:
        watch.look()
    made = folder / "made.html"
    export_report(runs, ReportRequest(name="run-1"), "html", made, Console(quiet=True))
    with closing(service), controlling(service, folder / "c"):
        yield {
            "DIGEST": DIGEST[:16],
            "FOLDER": str(runs),
            "EAST": str(east), "STUDY": str(folder / "study.yaml"), "HOME": str(folder / "c"),
            "NEW": str(folder / "new.yaml"), "NEWKEY": str(folder / "new.key"),
            "REPORT": str(folder / "r.csv"), "MLFLOW": str(folder / "mlflow"),
            "CRATE": str(folder / "crate"), "CROISSANT": str(folder / "croissant.json"),
            "CHART": str(folder / "c.svg"), "VERIFIER": str(folder / "v.py"),
            "DECLARATIONS": str(folder / "consortium.yaml"), "MADE": str(made),
            "PROOF": str(folder / "r.tlog-proof"),
            "POLICY": str(folder / "policy"), "WITNESS": str(folder / "witness"),
        }  # fmt: skip


def asked(places: dict[str, str], command: str, words: str) -> Result:
    return CliRunner().invoke(
        cli.app, [*command.split(), *(places.get(w, w) for w in words.split())]
    )


def test_every_command_is_a_question_or_an_act() -> None:
    assert set(commands()) == set(QUESTIONS) | ACTS | ELSEWHERE
    assert not set(QUESTIONS) & ACTS and set(TOLD) <= ACTS


@pytest.mark.parametrize("command", QUESTIONS)
def test_a_question_is_answered_on_stdout(places: dict[str, str], command: str) -> None:
    words, answer = QUESTIONS[command]
    done = asked(places, command, words)
    assert answer in done.stdout, done.output
    assert answer not in done.stderr
    assert not ONE_OF_MANY.search(done.output)
    assert ("not verified: collegium audit verify" in done.stderr) == command.startswith("runs ")


@pytest.mark.parametrize("command", ["runs list", "coordinator members", "silo status"])
def test_with_json_stdout_is_the_machines_alone(places: dict[str, str], command: str) -> None:
    words, _ = QUESTIONS[command]
    json.loads(asked(places, command, f"{words} --json").stdout)


def test_a_page_is_named_only_for_the_run_that_it_is_about(places: dict[str, str]) -> None:
    first, last = (asked(places, "runs show", f"{run} --out FOLDER").stdout for run in RUNS)
    page = Path(places["FOLDER"], "index.html")
    assert f"The page about it: {page}" in last
    assert "The page about it" not in first and f"{page} is about another run" in first
    assert "report export run-1 --format html" in first
    assert f"This page is about run {RUNS[-1]}." in page.read_text(encoding="utf-8")


def test_the_folder_knows_which_of_its_runs_released_nothing(places: dict[str, str]) -> None:
    with closing(open_views(Path(places["FOLDER"]))) as views:
        notes = [run.released.note for run in views.runs() if run.released is not None]
        assert [one.why for one in views.withheld(RUNS[0])] == [note for note in notes if note]
        assert len(notes) == len(RUNS) and all(notes)


@pytest.mark.parametrize("command", TOLD)
def test_an_act_leaves_stdout_empty(places: dict[str, str], command: str) -> None:
    words, told = TOLD[command]
    done = asked(places, command, words)
    assert told in done.stderr, done.output
    assert done.stdout == ""


@pytest.mark.parametrize("command", short_form(QUESTIONS, 4))
def test_eighty_columns_cut_nothing_off(
    places: dict[str, str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    words, _ = QUESTIONS[command]
    wide = asked(places, command, words).stdout
    narrow_console = "collegium.output.console.Console"
    monkeypatch.setattr(narrow_console, lambda **given: Console(**given | {"width": 80}))
    narrow = asked(places, command, words).stdout
    assert letters(narrow) == letters(wide) and "\u2026" not in narrow


def letters(said: str) -> Counter[str]:
    """Counts the letters: however lines break, none is lost."""
    return Counter(filter(str.isalpha, said))


def test_a_run_knows_which_runs_before_its_end_protected_nobody(places: dict[str, str]) -> None:
    out, study = Path(places["FOLDER"]), read_study(changed(_PRIVATE, "mode: none"))
    store = Store(Workspace.open(out).database)
    with store.transaction() as transaction:
        transaction.register(study)
        early = transaction.run(RUNS[0]).started_at
        for name, begun in (("open", early), ("later", timestamp())):
            transaction.write(
                RunRow(
                    id=name, study_digest=study.digest, state="finished", simulation=True,
                    test_noise=False, seed=1, started_at=begun, ended_at=timestamp(),
                    roster_json="{}",
                    sites_json="{}", environment_json="{}",
                )
            )  # fmt: skip
    store.close()
    with closing(open_views(out)) as views:
        assert [views.dossier(run).unprotected_runs for run in RUNS] == [("open",), ("open",)]
