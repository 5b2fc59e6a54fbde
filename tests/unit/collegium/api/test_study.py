"""Study: read, varied, checked and planned, with the refusals of the commands."""

import builtins
import math
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import save_file

import collegium as cg
from protocol.errors import CohortRefused, MessageRefused, StoreBroken, StudyRefused
from tests.support.simulated.federation import write_hospitals
from tests.support.simulated.studies import TABLE_STUDY, changed, small_study


@pytest.fixture
def study(tmp_path: Path) -> cg.Study:
    (tmp_path / "study.yaml").write_text(TABLE_STUDY)
    return cg.Study.load(str(tmp_path / "study.yaml"))


@pytest.fixture
def records(tmp_path: Path) -> Path:
    (tmp_path / "records").mkdir()
    write_hospitals(tmp_path / "records", small_study())
    return tmp_path / "records"


def test_a_study_is_read_from_its_document(study: cg.Study, tmp_path: Path) -> None:
    assert (study.name, study.title, study.epsilon) == ("small", "A small study", 4)
    assert study.digest == small_study().digest and study.folder == tmp_path
    assert repr(study) == (
        "Study small: 4 hospitals, per-site noise, ε 4, δ 0.001, 2 rounds of 2 steps"
    )
    assert list(study.sites()["patients"]) == [40] * 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (changed("epsilon: 4", "epsilonn: 4"), "study.yaml:24: .*did you mean 'epsilon'"),
        ("collegium: [", "study.yaml:1:"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_study_that_is_wrong_names_its_line(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(StudyRefused, match=said):
        cg.Study.load(tmp_path / "study.yaml")


def test_a_folder_is_no_study(tmp_path: Path) -> None:
    with pytest.raises(StudyRefused, match="cannot be read: Is a directory"):
        cg.Study.load(tmp_path)


def test_what_is_changed_is_another_study_and_what_is_not_the_same(study: cg.Study) -> None:
    assert study.replace().digest == study.digest
    assert study.replace(seeds={"model": np.int64(7)}).digest == study.with_seed(7).digest
    assert study.with_seed(7).document == study.document.with_seed(7)
    assert study.with_split(7).document == study.document.with_split(7)
    assert study.replace(training={"rounds": 5}).document.training.local_steps == 2
    assert study.document.training.rounds == 2
    assert study.with_epsilon(0.5).epsilon == 0.5
    assert study.with_epsilon(None).epsilon is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trainig": {"rounds": 5}}, "the changed study: trainig: .*did you mean 'training'"),
        ({"training": {"rounds": 0}}, "the changed study: training: no round of training"),
        ({"aggregation": {"threshold": 2}}, r"the changed study: .*2t > n \+ C"),
    ],
)
def test_a_change_that_is_wrong_is_refused_like_a_document(
    study: cg.Study, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(StudyRefused, match=said) as refused:
        study.replace(**changes)
    assert not any(f"study:{line}" in str(refused.value) for line in range(100))


def test_an_epsilon_that_makes_no_sense_is_refused(study: cg.Study) -> None:
    for epsilon in (0, -1, float("nan"), float("inf"), 1e308, 1e-300):
        with pytest.raises(StudyRefused, match="must lie between"):
            study.with_epsilon(epsilon)
    with pytest.raises(StudyRefused, match="privacy.mode is none"):
        study.with_epsilon(None).with_epsilon(1)
    with pytest.raises(TypeError, match="object cannot stand in a study"):
        study.replace(title=object())


def test_the_check_says_what_the_study_promises(study: cg.Study) -> None:
    found = study.check(budget=5)
    assert found.facts["budget"]["epsilon"] == 5 and found.sites.empty
    assert repr(found).startswith("A small study: a valid study\n")
    shown = found._repr_html_()
    assert "A small study: a valid study" in shown and "Training patients" not in shown


def test_a_notebook_gets_the_same_words_and_nothing_beside_them(
    study: cg.Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = repr(study.check())
    shell = type("ZMQInteractiveShell", (), {})  # by this name rich knows a notebook
    monkeypatch.setattr(builtins, "get_ipython", shell, raising=False)
    assert Console().is_jupyter
    assert repr(study.check()) == said != ""
    assert capsys.readouterr() == ("", "")


def test_the_check_reads_every_hospitals_records(study: cg.Study, records: Path) -> None:
    found = study.check(data=records)
    assert list(found.sites.index) == ["east", "north", "south", "west"]
    assert (found.sites["patients"] == 40).all()
    assert list(found.sites["test_patients"]) == ["fewer than 10", "fewer than 10", 12, 16]
    assert "Training patients" in found._repr_html_()


def test_records_that_do_not_fit_are_refused_with_site_and_column(
    study: cg.Study, records: Path
) -> None:
    text = (records / "east.csv").read_text()
    (records / "east.csv").write_text(text.replace("ward", "wards"))
    with pytest.raises(CohortRefused, match="east.*ward"):
        study.check(data=records)
    with pytest.raises(CohortRefused, match="holds no file east.csv"):
        study.check(data=records.parent)


def test_the_plan_advises_lines_that_the_study_takes(study: cg.Study) -> None:
    advised = study.plan(patients=[2000, 500, 300, 200], delta=1e-5, prevalence=0.5)
    assert list(advised.settings.index)[:1] == ["per-site noise"]
    assert advised.settings["expected_auroc"].notna().any()
    assert "privacy: {mode: " in advised.lines and advised.notes
    assert advised.lines.splitlines()[1] in repr(advised)
    assert "Settings" in advised._repr_html_()
    with pytest.raises(StudyRefused, match="--patients '-3': give whole numbers"):
        study.plan(patients=[-3])


def test_a_title_cannot_write_into_the_page(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(changed("A small study", "'<img src=x onerror=y>'"))
    study = cg.Study.load(tmp_path / "study.yaml")
    for shown in (study._repr_html_(), study.check()._repr_html_()):
        assert "<img" not in shown and "&lt;img" in shown


def test_bundled_records_are_found_without_a_folder() -> None:
    for name in ("heart-disease", "breast-cancer"):
        assert len(cg.Study.bundled(name).check().sites) == 4
    with pytest.raises(StudyRefused, match="no bundled study is called 'iris'"):
        cg.Study.bundled("iris")


@pytest.mark.parametrize("budget", [0.0, -1.0, math.nan, math.inf])
def test_a_budget_that_is_none_is_refused(study: cg.Study, budget: float) -> None:
    with pytest.raises(StudyRefused, match="a finite epsilon above zero"):
        study.check(budget=budget)


@pytest.mark.parametrize("steps", [0, -3, 10**9, 1.5, True])
def test_a_plan_has_a_whole_number_of_steps_that_can_be_computed(
    study: cg.Study, steps: int
) -> None:
    with pytest.raises(StudyRefused, match="a whole number from 1 to 10,000"):
        study.plan(steps=steps)


@pytest.mark.parametrize("epsilon", ["1,2", "0.5", True, [1.0]])
def test_an_epsilon_is_a_number(study: cg.Study, epsilon: object) -> None:
    with pytest.raises(StudyRefused, match="give a number, or None"):
        study.with_epsilon(epsilon)  # type: ignore[arg-type]
    with pytest.raises(StudyRefused, match="give a number, or None"):
        cg.sweep(study, out="nowhere", epsilon=epsilon if epsilon != [1.0] else [[1.0]])  # type: ignore[arg-type]


def test_a_file_of_another_network_is_no_model_of_the_study(
    study: cg.Study, tmp_path: Path
) -> None:
    file = tmp_path / "model.safetensors"
    with pytest.raises(StoreBroken, match="is no model"):
        study.load_model(file)
    save_file({"weight": np.zeros((1, 2), np.float32)}, file)
    with pytest.raises(MessageRefused, match="not this network's parameters"):
        study.load_model(file)
