"""``collegium silo`` and ``collegium study new|register`` as people use them."""

import json
import os
import time
from pathlib import Path

import pytest

from compliance.governance.study_store import StudyStore
from coordinator.database.store import Store, logged_entries
from coordinator.database.workspace import Workspace
from protocol.errors import PolicyRefused, SiteFileRefused, StudyRefused, WorkspaceRefused
from protocol.study.study_file import read_study, read_study_file
from silos.config.site_file import read_site_file
from silos.config.study_authorization import StudyAuthorization
from silos.database.database import open_hospital, read_hospital
from silos.database.joined_runs import JoinedRuns, RunState
from tests import ROOT
from tests.support.hospital.hospital_home import OFFICER, make_east
from tests.support.hospital.sites import changed_site
from tests.support.machine.commands import ask
from tests.support.simulated.studies import TABLE_STUDY, changed, small_study

HEART = ROOT / "examples" / "heart-disease"
RECORDS = ROOT / "collegium" / "studies" / "heart_disease"
DIGITS = small_study().digest[:8]


class Person:
    """Runs commands in this process; what was read and written is kept."""

    out = err = ""

    def runs(self, *words: object, types: str = "") -> int:
        """Runs a command; returns its exit code."""
        done = ask(*words, types=types)
        self.out, self.err = done.stdout, done.stderr
        return done.returncode

    def reads_refusal(self, *words: object, types: str = "") -> str:
        """Runs a command that must be refused; returns what it says."""
        assert self.runs(*words, types=types) == 2
        assert self.out == ""
        assert "Traceback" not in self.err
        return self.err


@pytest.fixture
def person() -> Person:
    return Person()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return make_east(tmp_path)


def study_of(home: Path) -> Path:
    return home.parent / "study.yaml"


def test_init_makes_a_home_that_only_its_owner_reads_and_says_what_is_next(
    tmp_path: Path, person: Person
) -> None:
    home = tmp_path / "mary"
    url = "https://lead:8443"
    assert person.runs("silo", "init", "--home", home, "--site", "mary", "--coordinator", url) == 0
    assert {path.name: path.stat().st_mode & 0o777 for path in home.iterdir()} == {
        "hospital-heads": 0o700,
        "hospital.db": 0o600,
        "hospital-keys": 0o700,
        "site.yaml": 0o600,
    }
    assert home.stat().st_mode & 0o777 == 0o700
    for step in ("site.yaml", "silo grant", "silo enrol", "silo check"):
        assert step in person.err
    assert "already holds a hospital" in person.reads_refusal(
        "silo", "init", "--home", home, "--site", "mary"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--site", "St Mary"], "name: a name has lower-case letters"),
        (["--site", "coordinator"], "no hospital may be called coordinator"),
        (["--site", "mary", "--coordinator", "lead"], "must look like https://"),
    ],
)
def test_a_wrong_name_or_address_makes_nothing(
    tmp_path: Path, person: Person, options: list[str], said: str
) -> None:
    assert said in person.reads_refusal("silo", "init", "--home", tmp_path / "mary", *options)
    assert list(tmp_path.iterdir()) == []


def test_once_simulated_always_simulated(tmp_path: Path, person: Person) -> None:
    home = tmp_path / "demo"
    assert person.runs("silo", "init", "--home", home, "--site", "demo", "--simulated") == 0
    assert person.runs("silo", "status", "--home", home) == 0
    assert "demo, SIMULATED" in person.out
    with pytest.raises(WorkspaceRefused, match="was made for a simulation and stays that"):
        open_hospital(home / "hospital.db", site="demo", simulated=False)


def test_a_real_hospital_never_becomes_a_simulated_one(home: Path) -> None:
    with pytest.raises(WorkspaceRefused, match="was made for a real hospital and stays that"):
        open_hospital(home / "hospital.db", site="east", simulated=True)
    hospital = read_hospital(home / "hospital.db", site="east")
    assert not hospital.simulated
    hospital.close()


def grant(home: Path, *changes: str) -> list[object]:
    words = ["--epsilon", "5", "--delta", "1e-5", "--signed-by", OFFICER, *changes]
    return ["silo", "grant", "--home", home, *words]


def test_a_budget_is_opened_once_and_by_an_approver(tmp_path: Path, person: Person) -> None:
    home = make_east(tmp_path, budget=None)
    said = person.reads_refusal(*grant(home, "--signed-by", "A. Stranger"))
    assert "may not open the budget: policy.approvers in the site file names Dr. A." in said
    assert person.runs(*grant(home, "--json")) == 0
    assert json.loads(person.out)["epsilon_max"] == 5.0
    assert person.runs(*grant(home)) == 0
    assert "it cannot become epsilon 6" in person.reads_refusal(*grant(home, "--epsilon", "6"))


def test_a_budget_takes_as_many_approvers_as_a_study(tmp_path: Path, person: Person) -> None:
    home = make_east(tmp_path, budget=None)
    file = home / "site.yaml"
    file.write_text(file.read_text().replace("approvals_needed: 1", "approvals_needed: 2"))
    approvers = read_site_file(file.read_text()).policy.approvers
    other = next(name for name in approvers if name != OFFICER)
    assert "2 approvers open the budget here" in person.reads_refusal(*grant(home))
    twice = grant(home, "--signed-by", f" {OFFICER} ")
    assert "1 signed: --signed-by once for each" in person.reads_refusal(*twice)
    assert person.runs(*grant(home, "--signed-by", other)) == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["--epsilon", "0"], "no such budget can be kept"),
        (["--epsilon", "nan"], "no such budget can be kept"),
        (["--delta", "2"], "no such budget can be kept"),
        (["--unit", "visit"], "give patient or record"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(
    tmp_path: Path, person: Person, changes: list[str], said: str
) -> None:
    home = make_east(tmp_path, budget=None)
    assert said in person.reads_refusal(*grant(home, *changes))


def approve(home: Path, *words: str, by: str = OFFICER) -> list[object]:
    return ["silo", "approve", study_of(home), "--home", home, "--by", by, *words]


def test_an_approver_reads_the_study_in_plain_words_and_types_its_name(
    home: Path, person: Person
) -> None:
    assert person.runs(*approve(home), types=f"{small_study().name}\n") == 0
    for words in (
        "To be tested.",
        "north, south, west",
        "age, ill, patient, ward",
        "FullyConnectedNet",
        "each patient: epsilon 4 at delta 1e-3, mode per_site",
        "of the budget for life, 100 % is left: ",
        "at least 3 hospitals",
        f"approved        by {OFFICER}",
    ):
        assert words in person.err
    study, _ = StudyStore(home / "studies").read(small_study().digest)
    assert study == small_study()


@pytest.mark.parametrize("typed", ["another-study\n", f"{DIGITS}\n", ""])
def test_another_name_approves_nothing(home: Path, person: Person, typed: str) -> None:
    said = person.reads_refusal(*approve(home), types=typed)
    assert "is not this study's name: nothing was approved" in said
    assert person.runs("silo", "studies", "--home", home, "--json") == 0
    assert json.loads(person.out) == []


def test_a_stranger_cannot_approve(home: Path, person: Person) -> None:
    said = person.reads_refusal(*approve(home, "--yes", by="A. Stranger"))
    assert "'A. Stranger' may not approve" in said


def test_a_study_against_the_policy_cannot_be_approved(home: Path, person: Person) -> None:
    study_of(home).write_text(changed("epsilon: 4", "epsilon: 5"))
    said = person.reads_refusal(*approve(home, "--yes"))
    assert "does not allow study small" in said
    assert "ask for sites: - {name: east, epsilon: 4}" in said
    assert StudyStore(home / "studies").digests() == ()


def listed(home: Path, person: Person) -> dict[str, object]:
    assert person.runs("silo", "studies", "--home", home, "--json") == 0
    (found,) = json.loads(person.out)
    assert isinstance(found, dict)
    return found


def test_a_study_may_run_from_approval_to_withdrawal(home: Path, person: Person) -> None:
    person.runs(*approve(home, "--yes"))
    assert listed(home, person)["may_run"] is True
    gone = ["silo", "withdraw", DIGITS, "--home", home, "--by", "the night shift"]
    assert person.runs(*gone, "--reason", "a patient asked") == 0
    assert listed(home, person)["may_run"] is False
    assert "is not approved: nothing to withdraw" in person.reads_refusal(*gone)
    short = person.reads_refusal("silo", "withdraw", "abc", "--home", home, "--by", "x")
    assert "at least 8" in short


def test_where_two_must_approve_one_is_not_enough(tmp_path: Path, person: Person) -> None:
    home = make_east(tmp_path, site=changed_site("needed: 1", "needed: 2"))
    person.runs(*approve(home, "--yes"))
    assert "1 more must approve it before it may run here" in person.err
    assert "the policy needs 2 people" in str(listed(home, person)["why_not"])
    person.runs(*approve(home, "--yes", by="Prof. B. Medicine"))
    assert "more must approve" not in person.err
    assert listed(home, person)["may_run"] is True


def test_authorization_follows_policy_approval_and_hours_as_they_are_now(
    home: Path, person: Person
) -> None:
    hospital = open_hospital(home / "hospital.db", site="east")
    authorization = StudyAuthorization(home, hospital)
    with pytest.raises(PolicyRefused, match="nobody has approved study"):
        authorization(small_study())
    person.runs(*approve(home, "--yes"))
    authorization(small_study())
    (home / "site.yaml").write_text(changed_site("epsilon_at_most: 4", "epsilon_at_most: 3"))
    with pytest.raises(PolicyRefused, match="would pay epsilon 4, more than 3"):
        authorization(small_study())
    (home / "site.yaml").write_text("collegium_site: 1\n")
    with pytest.raises(SiteFileRefused, match="name: this key is required"):
        authorization(small_study())
    hospital.close()


def test_authorization_waits_for_the_hours(home: Path, person: Person) -> None:
    person.runs(*approve(home, "--yes"))
    minute = time.gmtime(time.time() - 7200)
    hours = f"{minute.tm_hour:02}:00-{minute.tm_hour:02}:01"  # two hours ago, for a minute
    (home / "site.yaml").write_text(changed_site("gib: 1}", f"gib: 1, hours: {hours}}}"))
    hospital = open_hospital(home / "hospital.db", site="east")
    with pytest.raises(PolicyRefused, match=f"studies begin here at {hours}"):
        StudyAuthorization(home, hospital)(small_study())
    hospital.close()


def test_check_prints_a_table_and_ends_with_2_until_all_is_mended(
    home: Path, person: Person
) -> None:
    words = ["silo", "check", study_of(home), "--home", home]
    assert person.runs(*words) == 2
    assert "certificate: collegium silo enrol, with your invitation" in person.out
    assert person.runs(*words, "--json") == 2
    found = {entry["what"]: entry["state"] for entry in json.loads(person.out)["findings"]}
    assert (found["records"], found["certificate"]) == ("ok", "bad")


def test_status_is_read_from_the_homes_files_alone(home: Path, person: Person) -> None:
    assert person.runs("silo", "status", "--home", home) == 0
    assert "never started: collegium silo start" in person.out
    note = {"state": "connected", "reason": "", "pid": os.getpid(), "time": 0}
    (home / "status.json").write_text(json.dumps(note))
    hospital = open_hospital(home / "hospital.db", site="east")
    JoinedRuns(hospital).record("run-1", study="a" * 64, state=RunState.JOINED)
    hospital.close()
    assert person.runs("silo", "status", "--home", home, "--json") == 0
    found = json.loads(person.out)
    assert found["supervisor"]["alive"] is True
    assert [run["run"] for run in found["runs"]] == ["run-1"]
    assert found["budget"]["epsilon_max"] == 20.0


def test_a_damaged_status_note_is_no_note(home: Path, person: Person) -> None:
    (home / "status.json").write_text('{"state": 1')
    assert person.runs("silo", "status", "--home", home) == 0
    assert "never started" in person.out


def test_budget_of_a_home_forecasts_a_study(home: Path, person: Person) -> None:
    words = ["silo", "budget", "--home", home, "--study", study_of(home)]
    assert person.runs(*words, "--json") == 0
    found = json.loads(person.out)["hospitals"]["east"]
    assert found["forecast"]["fits"] is True
    assert "name --home" in person.reads_refusal("silo", "budget")


def test_a_home_that_is_none_is_told_how_to_make_one(tmp_path: Path, person: Person) -> None:
    for command in ("status", "studies"):
        said = person.reads_refusal("silo", command, "--home", tmp_path)
        assert "collegium silo init makes one" in said


def test_a_roster_without_a_coordinator_is_told(home: Path, person: Person) -> None:
    assert person.runs("silo", "roster", "show", "--home", home) == 0
    assert "trusted: none" in person.out
    assert "has not enrolled" in person.out
    assert "has not enrolled" in person.reads_refusal("silo", "roster", "sign", "--home", home)


def test_a_new_study_is_valid_as_written_and_never_over_another(
    tmp_path: Path, person: Person
) -> None:
    to = tmp_path / "mine.yaml"
    words = ["--name", "mine", "--sites", "st-mary,charite,ucsf,va", "--epsilon", "2"]
    assert person.runs("study", "new", "--to", to, *words, "--purpose", "Find heart disease") == 0
    study = read_study_file(to)
    assert (study.name, study.site_names) == ("mine", ("charite", "st-mary", "ucsf", "va"))
    assert study.purpose.strip() == "Find heart disease"
    assert "is there already" in person.reads_refusal("study", "new", "--to", to)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--sites", "a,b"], "at least three sites"),
        (["--name", "My Study"], "a name has lower-case letters, digits, '.', '_' and '-'"),
        (["--title", "a: b"], "without line ends"),
        (["--epsilon", "-1"], "greater than 0"),
    ],
)
def test_wrong_flags_make_no_study(
    tmp_path: Path, person: Person, words: list[str], said: str
) -> None:
    assert said in person.reads_refusal("study", "new", "--to", tmp_path / "x.yaml", *words)
    assert list(tmp_path.iterdir()) == []


def test_a_study_is_registered_once_and_logged(tmp_path: Path, person: Person) -> None:
    workspace = Workspace.create(tmp_path / "lead")
    document = tmp_path / "study.yaml"
    document.write_text(TABLE_STUDY)
    words = ["study", "register", document, "--home", tmp_path / "lead", "--json"]
    for new in (True, False):
        assert person.runs(*words) == 0
        assert json.loads(person.out)["new"] is new
    store = Store(workspace.database)
    with store.read() as session:
        logged = [entry.content.type for entry in logged_entries(session)]
    store.close()
    assert logged == ["study-registered"]
    kept, _ = StudyStore(tmp_path / "lead" / "studies").read(small_study().digest)
    assert kept == read_study(TABLE_STUDY)


def test_a_study_is_not_registered_where_no_coordinator_lives(
    tmp_path: Path, person: Person
) -> None:
    document = tmp_path / "study.yaml"
    document.write_text(TABLE_STUDY)
    said = person.reads_refusal("study", "register", document, "--home", tmp_path)
    assert "collegium coordinator init makes one" in said


HEART_SITE = (
    changed_site("name: east", "name: cleveland")
    .replace("east.csv", "records.data, one_row_is_one_person: true")
    .replace("to be tested", "heart disease")
    .replace("age, ward, patient, ill", "age, sex, cp, trestbps, chol, fbs, restecg, thalach, "
             "exang, oldpeak, num")
    .replace("[keyed_hash]", "[file]")
)  # fmt: skip


def test_the_heart_disease_study_is_checked_approved_and_ready_at_cleveland(
    tmp_path: Path, person: Person
) -> None:
    home, study = tmp_path / "cleveland", HEART / "study.yaml"
    assert person.runs("silo", "init", "--home", home, "--site", "cleveland") == 0
    (home / "site.yaml").write_text(HEART_SITE)
    (home / "records.data").symlink_to(RECORDS / "processed.cleveland.data")
    assert person.runs(*grant(home)) == 0
    by = ["--home", home, "--by", OFFICER, "--yes"]
    assert person.runs("silo", "approve", study, *by) == 0
    assert person.runs("silo", "check", study, "--home", home, "--json") == 2
    found = {entry["what"]: entry for entry in json.loads(person.out)["findings"]}
    assert [what for what, e in found.items() if e["state"] == "bad"] == ["certificate"]
    assert found["records"]["finding"] == ("303 fit the contract: 199 patients train, 104 test")
    assert found["budget"]["finding"].startswith(
        "this study takes 19 % of the budget for life, 100 % is left: 5 runs of it fit; each "
        "patient is promised epsilon 1 at delta 1e-4 in this study"
    )


def test_the_index_file_of_a_study_is_kept_with_it_or_the_study_is_refused(
    tmp_path: Path,
) -> None:
    text = (HEART / "study.yaml").read_text()
    with pytest.raises(StudyRefused, match="the index file 'split.csv' is missing"):
        StudyStore(tmp_path).keep(text, None)
    study = StudyStore(tmp_path).keep(text, (HEART / "split.csv").read_bytes())
    assert (tmp_path / study.digest / "split.csv").is_file()
