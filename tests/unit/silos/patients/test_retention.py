"""After its time nothing is left of what a run needed of patients; what must stay, stays."""

import tempfile
from contextlib import closing
from pathlib import Path

import pytest

from protocol.encoding import blob_digest
from protocol.errors import CohortRefused, PolicyRefused
from silos.database.database import open_hospital
from silos.database.joined_runs import JoinedRuns, RunState
from silos.patients.entries import EntryKind, PatientEntries
from silos.patients.frozen_cohorts import FrozenCohort, FrozenCohorts
from silos.patients.marks import as_bytes
from silos.patients.opt_outs import opt_out
from silos.patients.retention import apply_retention, delete_old
from silos.patients.used_patients import use_of
from tests.support.hospital.hospital_home import OFFICER, make_east
from tests.support.hospital.sites import SITE
from tests.support.networked.joining import frozen_anew, joined
from tests.support.simulated.studies import TABLE_STUDY, small_study


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    temporary = tmp_path / "t"
    temporary.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    return make_east(tmp_path)


def joined_for(home: Path, state: RunState) -> FrozenCohort:
    """A run of the small study at this hospital, in a state."""
    joined(home, TABLE_STUDY)
    with closing(open_hospital(home / "hospital.db", site="east")) as hospital:
        JoinedRuns(hospital).record("run-1", study=small_study().digest, state=state)
        (cohort,) = FrozenCohorts(hospital).all()
        return cohort


def kept_bytes(home: Path) -> bytes:
    """Everything in the hospital's folder and in that of temporary files but its own files."""
    own = [path for path in home.rglob("*") if path.is_file() and path.suffix != ".csv"]
    temporary = [path for path in (home.parent / "t").rglob("*") if path.is_file()]
    return b"".join(path.read_bytes() for path in (*own, *temporary))


def test_nothing_readable_is_left_of_a_run_that_is_over(home: Path) -> None:
    cohort = joined_for(home, RunState.LEFT)
    opt_out(home, ["east-3"], by=OFFICER)
    abandoned = home.parent / "t" / "collegium-ray-killed1"
    abandoned.mkdir()
    (abandoned / "lock").touch()
    (abandoned / "images").write_bytes(b"east-5 in a copy of the images")
    with closing(open_hospital(home / "hospital.db", site="east")) as hospital:
        listed = FrozenCohorts(hospital).kept(cohort)
        assert listed is not None
        marks = list(as_bytes(listed.marks))
        (gone,) = FrozenCohorts(hospital).left(cohort)
        context, blob = "c" * 64, b"a masked vector"
        hospital.keep_blob(context, blob, blob_digest(blob))
    before = kept_bytes(home)
    assert all(mark in before for mark in marks) and b"east-5" in before
    done = apply_retention(home, by=OFFICER, days=0)
    assert (done.counts["cohort lists"], done.counts["masked vectors"]) == (1, 1)
    assert done.counts["folders of killed processes"] >= 1
    after = kept_bytes(home)
    assert not [mark for mark in marks if mark in after and mark != gone]
    assert b"a masked vector" not in after
    for number in range(40):
        assert f"east-{number}".encode() not in after
    assert use_of(home, "east-5").not_known == ("run-1",)
    assert use_of(home, "east-3").opted_out_at is not None
    with closing(open_hospital(home / "hospital.db", site="east")) as hospital:
        *_, entry = PatientEntries(hospital).all()
        assert entry.kind is EntryKind.DELETED
        assert entry.said["counts"] == done.counts and entry.said["by"] == OFFICER
    assert apply_retention(home, by=OFFICER, days=0).counts == {}


def test_what_an_open_run_needs_and_what_is_young_stays(home: Path) -> None:
    cohort = joined_for(home, RunState.JOINED)
    assert apply_retention(home, by=OFFICER, days=0).counts == {}
    with closing(open_hospital(home / "hospital.db", site="east")) as hospital:
        JoinedRuns(hospital).record("run-1", study=small_study().digest, state=RunState.LEFT)
        assert delete_old(hospital, 1, by=OFFICER).counts == {}
        assert FrozenCohorts(hospital).kept(cohort) is not None


def test_after_retention_the_next_run_freezes_anew_and_opt_outs_hold(home: Path) -> None:
    joined_for(home, RunState.LEFT)
    opt_out(home, ["east-3"], by=OFFICER)
    apply_retention(home, by=OFFICER, days=0)
    joined(home, TABLE_STUDY, "run-2")
    with closing(open_hospital(home / "hospital.db", site="east")) as hospital:
        assert [one.version for one in FrozenCohorts(hospital).all()] == [1, 2]
    assert not use_of(home, "east-3").runs and use_of(home, "east-4").runs
    rows = (home / "east.csv").read_text().splitlines()
    (home / "east.csv").write_text("\n".join(rows[:-1]) + "\n")
    with pytest.raises(CohortRefused, match="fewer than 10 patients differ"):
        joined(home, TABLE_STUDY, "run-3")


def test_the_site_file_says_how_long(home: Path) -> None:
    frozen_anew(home, TABLE_STUDY)
    with pytest.raises(PolicyRefused, match="does not say how long"):
        apply_retention(home, by=OFFICER)
    with pytest.raises(PolicyRefused, match="name who deletes"):
        apply_retention(home, by="", days=0)
    (home / "site.yaml").write_text(f"{SITE}patients: {{retention_days: 0}}\n")
    assert apply_retention(home, by=OFFICER).counts == {"cohort lists": 1}
