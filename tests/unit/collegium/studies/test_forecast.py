"""What an evaluation will be able to say is said before anybody trains."""

import sys
from io import StringIO
from pathlib import Path

import pytest
import typer
from rich.console import Console

from collegium.cli.demos.demo import demo_study
from collegium.cli.demos.network_demo import NetworkDemo, network_demo
from collegium.cli.main import app, main
from collegium.studies.authoring.template import study_template
from collegium.studies.bundled import BUNDLED_STUDIES, bundled_study
from collegium.studies.forecast import study_forecast
from collegium.studies.planning.settings import assumed_auroc
from collegium.studies.preflight import check_records, describe_study
from compliance.estimates.proportion import proportion
from protocol.errors import FederationError
from protocol.study.study import Study
from protocol.study.study_file import read_study
from tests import ROOT

COMMAND = typer.main.get_command(app).commands["network-demo"]  # type: ignore[attr-defined]
HEART = ROOT / "examples" / "heart-disease" / "study.yaml"


def heart(before: str = "", after: str = "") -> Study:
    text = HEART.read_text(encoding="utf-8")
    assert before in text
    return read_study(text.replace(before, after), "study.yaml")


def said_of(study: Study, capsys: pytest.CaptureFixture[str]) -> str:
    describe_study(study, Console(width=300))
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "study",
    [heart(), *(demo_study(bundled) for bundled in BUNDLED_STUDIES.values())],
    ids=["network-demo", *BUNDLED_STUDIES],
)
def test_the_demos_release_an_auroc_that_tells_a_model_from_chance(study: Study) -> None:
    found = study_forecast(study)
    assert found is not None and found.note == ""
    assert found.released - found.half_width > 0.5


def test_the_studies_that_people_copy_release_their_auroc() -> None:
    page = (ROOT / "docs" / "study.md").read_text(encoding="utf-8")
    shown = read_study(page.split("```yaml\n")[1].split("```")[0], "study.md")
    for study in (read_study(study_template(epsilon=1.0), "new.yaml"), shown):
        found = study_forecast(study)
        assert found is not None and not found.may_be_withheld, study.name


def test_study_check_says_how_wide_the_released_auroc_will_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = said_of(heart(), capsys)
    assert "4 bins: an AUROC near 0.77 would be released as about 0.7" in said
    assert "would mean nothing" not in said


def test_study_check_counts_the_noise_that_groups_of_patients_add(
    capsys: pytest.CaptureFixture[str],
) -> None:
    grouped = read_study(HEART.with_name("fairness.yaml").read_text("utf-8"), "f.yaml")
    alone = grouped.model_copy(
        update={"evaluation": grouped.evaluation.model_copy(update={"groups": {}})}
    )
    found, without = study_forecast(grouped), study_forecast(alone)
    assert found is not None and without is not None
    assert found.deviation == pytest.approx(without.deviation * 3.5**0.5)
    assert found.table_deviations == without.table_deviations
    said = said_of(grouped, capsys)
    assert "evaluation.groups: 2 groupings make the noise in the pooled counts 1.9 times" in said
    assert "only fewer groupings, a larger evaluation.epsilon or more test patients" in said
    assert "evaluation.groups" not in said_of(alone, capsys)


def test_study_check_names_groups_that_are_too_few_or_that_no_record_is_in() -> None:
    text = HEART.with_name("fairness.yaml").read_text("utf-8")
    text = text.replace("edges: [50, 60]", "edges: [35, 50, 60]").replace("men: 1}", "men: male}")
    data, screen = ROOT / "collegium" / "studies" / "heart_disease", StringIO()
    study = read_study(text, "fairness.yaml")
    found = check_records(study, HEART.parent, data, Console(file=screen, width=300))
    assert found["groups"] == [
        "evaluation.groups.age: fewer than 10 test patients are in 'below 35': expect it and the "
        "next smallest group to be withheld",
        "evaluation.groups.sex: no test patient is in 'men': are its cells as in the records? "
        "Expect it and the next smallest group to be withheld",
    ]
    assert all(line in screen.getvalue() for line in found["groups"])


def test_study_check_says_that_a_release_will_mean_nothing_and_what_would(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = said_of(heart("{bins: 4}", "{bins: 32}"), capsys)
    assert "32 bins: too few patients for this epsilon: a released AUROC would mean nothing" in said
    assert "; evaluation.bins: 4 would give +- 0.21" in said
    wide = said_of(heart("{bins: 4}", "{bins: 8}"), capsys)
    assert "may well be withheld; evaluation.bins: 4 would give +- 0.21" in wide
    hopeless = said_of(heart("  epsilon: 1.0", "  epsilon: 0.1"), capsys)
    assert "would mean nothing" in hopeless and "no number of bins helps, only" in hopeless
    assert "a larger evaluation.epsilon or more test patients" in hopeless


def test_study_check_of_a_network_with_hidden_layers_says_it_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "an AUROC near 0.80 would be released as" in said_of(
        bundled_study("breast-cancer").study, capsys
    )


def test_check_says_how_many_bins_auto_is(capsys: pytest.CaptureFixture[str]) -> None:
    study = heart("{bins: 4}", "{bins: auto}")
    said = said_of(study, capsys)
    assert f"evaluation.bins auto: scores are counted in {study.score_bins} bins" in said
    assert f"{study.score_bins} bins: an AUROC near" in said
    assert "evaluation.bins auto" not in said_of(heart(), capsys)


def test_plan_prints_the_line_of_the_evaluation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["study", "plan", "--patients", "200,175,30,85", "--epsilon", "1", "--delta", "1e-4"]
    monkeypatch.setattr(sys, "argv", ["collegium", *words])
    with pytest.raises(SystemExit):
        main()
    out, err = capsys.readouterr()
    assert "evaluation: {bins: 4}" in out + err


@pytest.mark.long
def test_no_shipped_study_is_refused_by_the_budget_that_its_check_shows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for path in sorted((ROOT / "examples").glob("*/*.yaml")):
        if path.name not in ("alerts.yaml", "silo-alerts.yaml", "compose.yaml"):
            study = read_study(path.read_text(encoding="utf-8"), str(path))
            assert "refuses this study" not in said_of(study, capsys), path
    dear = heart("  epsilon: 1.0", "  epsilon: 9.0")
    assert "a hospital whose budget is epsilon 10 refuses this study" in said_of(dear, capsys)


def test_the_network_demo_forecasts_what_the_studys_check_forecasts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before, it took 0.80 where the plan expected less, and promised a narrower interval."""

    def stop(_demo: NetworkDemo) -> dict[str, object]:
        raise FederationError("the forecast was said before this")

    monkeypatch.setattr(NetworkDemo, "run", stop)
    screen = StringIO()
    with pytest.raises(FederationError, match="said before"):
        network_demo(heart(), tmp_path, tmp_path, tmp_path / "out", Console(file=screen, width=200))
    (told,) = (line for line in screen.getvalue().splitlines() if "would be released as" in line)
    assert told in said_of(heart(), capsys)
    assert f"an AUROC near {assumed_auroc(heart()):.2f} would" in told


@pytest.mark.parametrize(("test_noise", "given"), [(False, ()), (True, ("--test-noise",))])
def test_noise_of_the_network_demo_is_real_unless_it_is_asked_for_a_tests(
    tmp_path: Path, test_noise: bool, given: tuple[str, ...]
) -> None:
    demo = NetworkDemo(
        heart(), tmp_path, tmp_path, tmp_path, Console(quiet=True), test_noise=test_noise
    )
    assert demo._noise == given
    (option,) = [option for option in COMMAND.params if option.name == "test_noise"]
    assert option.default is False


def test_what_is_assumed_of_the_test_patients_is_said_and_records_that_are_read_replace_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Heart disease names its test patients in a file; a keyed hash says their share itself."""
    said = said_of(heart(), capsys)
    assert "210 test patients, 105 of them ill (assumed: that 30 % of all patients are" in said
    text = HEART.read_text(encoding="utf-8")
    by_file = text[text.index("split:\n") : text.index("task:\n")]
    hashed = heart(by_file, "split: {method: keyed_hash, test_fraction: 0.2}\n")
    assert "of them ill (assumed: that half are ill), 4 bins" in said_of(hashed, capsys)
    heart_folder = HEART.parent
    data = ROOT / "collegium" / "studies" / "heart_disease"
    screen = StringIO()
    console = Console(file=screen, width=300)
    promise = describe_study(heart(), console, with_records=True)
    assert promise["evaluation"] is None and "test patients" not in screen.getvalue()
    found = check_records(heart(), heart_folder, data, console)
    tested = {site: report["test"]["patients"] for site, report in found["sites"].items()}
    assert f"evaluation: {sum(tested.values())} test patients, 131 of them ill, 4" in (
        screen.getvalue()
    )
    assert found["evaluation"]["test_patients"] == sum(tested.values()) == 254
    told = screen.getvalue().splitlines()[-1].partition("of their own: ")[2].split(", ")
    deviations = dict(zip(heart().site_names, found["evaluation"]["table_deviations"], strict=True))
    assert told == [
        site
        for site, count in tested.items()
        if proportion(0.8 * count, 0.2 * count, deviations[site] * 2**0.5).note
    ]
