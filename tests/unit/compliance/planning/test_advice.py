"""Planning help: suggestions that keep their epsilon, get better with patients, and say no."""

import doctest
import json
import math
import re
import sys
from dataclasses import replace
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from collegium.cli import main as cli
from collegium.studies.authoring.template import study_template
from collegium.studies.forecast import study_forecast
from compliance.estimates.binned_scores.auroc import auroc_from_histogram
from compliance.estimates.binned_scores.release_rule import expected_counts
from compliance.estimates.withholding import TOO_FEW
from compliance.planning import advice as planning
from compliance.planning import evaluation_forecast, expected_auroc
from compliance.planning.advice import (
    Mode,
    PlanningInput,
    advice,
    advise,
    default_delta,
    distributed_epsilons,
    noise_on_average,
    too_small,
)
from compliance.planning.evaluation_forecast import forecast_evaluation
from compliance.planning.expected_auroc import Descent
from compliance.privacy.accounting import calibrate, epsilon
from compliance.privacy.events import SampledGaussian
from pipelines.evaluation.metrics import histogram
from protocol.study.study_file import read_study
from protocol.vectors.score_grid import ScoreGrid
from tests.support.simulated.studies import TABLE_STUDY

ASKED = PlanningInput(patients=(1400, 1050, 700, 560), epsilon=2.0, delta=1e-5, prevalence=0.1)
COUNTS = st.lists(st.integers(200, 20_000), min_size=3, max_size=6).map(tuple)
MODES: list[Mode] = ["per_site", "distributed"]


@settings(max_examples=3, deadline=None)
@given(COUNTS, st.floats(0.3, 6), st.sampled_from(MODES))
def test_advice_priced_again_keeps_its_epsilon(
    patients: tuple[int, ...], target: float, mode: Mode
) -> None:
    asked = replace(ASKED, patients=patients, epsilon=round(target, 1))
    plan = advise(asked, mode, steps=10)
    assert 0.95 * asked.epsilon < epsilon(plan.event, asked.delta) <= asked.epsilon
    assert plan.event.steps == plan.steps + 1  # a spare draw is paid for


@settings(max_examples=2, deadline=None)
@given(st.floats(0.3, 6), st.floats(1.01, 3), st.sampled_from([(0.2, 10), (1.0, 30)]))
def test_more_epsilon_never_needs_more_noise(
    target: float, factor: float, setting: tuple[float, int]
) -> None:
    low, high = round(target, 1), round(target * factor, 1)
    assume(high > low)
    less, more = (replace(ASKED, epsilon=each).calibrate(*setting) for each in (low, high))
    assert more <= less


@pytest.mark.parametrize("is_linear", [True, False])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("target", [0.3, 1.0, 8.0])
@pytest.mark.parametrize("auroc", [0.6, 0.8, 0.97])
def test_noise_of_all_steps_and_one_step_move_a_logit_by_no_more_than_the_rule_says(
    target: float, mode: Mode, is_linear: bool, auroc: float
) -> None:
    asked = replace(ASKED, epsilon=target, is_linear=is_linear, auroc=auroc)
    plan = advise(asked, mode, steps=30)
    separation = math.sqrt(2) * NormalDist().inv_cdf(auroc)
    most_noise, most_step = min(3, 2 * separation), 16.0
    if not is_linear:
        most_noise, most_step = most_noise / 3, most_step / 2
    moved = plan.learning_rate * plan.clip * asked.gradient_norm
    noise = moved * plan.noise * math.sqrt(plan.steps)
    assert noise <= 1.05 * most_noise and moved <= 1.05 * most_step
    assert noise >= 0.95 * most_noise or moved >= 0.95 * most_step
    assert 0.049 <= plan.clip / asked.gradient_norm <= 0.31


def test_what_is_weak_to_be_learned_gets_smaller_steps_and_a_larger_clip() -> None:
    weak, strong = (advise(replace(ASKED, auroc=each), "per_site") for each in (0.63, 0.95))
    assert weak.learning_rate * weak.clip < strong.learning_rate * strong.clip
    assert weak.clip > strong.clip and weak.event == strong.event


def test_expected_auroc_grows_with_epsilon_and_patients_and_falls_with_inputs() -> None:
    def expected(**change: object) -> float:
        plan = advise(replace(ASKED, **change), "per_site")  # type: ignore[arg-type]
        assert plan.expected is not None
        return plan.expected.auroc

    by_epsilon = [expected(epsilon=each) for each in (0.1, 0.5, 2.0, 8.0)]
    assert by_epsilon == sorted(by_epsilon) and by_epsilon[0] < 0.7 < 0.75 < by_epsilon[-1] < 0.8
    assert expected(patients=(140, 105, 70, 56)) < by_epsilon[2] < expected(patients=(9000,) * 4)
    many, few = (expected(gradient_norm=math.sqrt(inputs + 1)) for inputs in (300, 3))
    assert many < by_epsilon[2] < few


def test_descent_without_noise_reaches_the_assumed_auroc() -> None:
    plain = Descent(steps=200, sampling_rate=1.0, clip=1e9, learning_rate=1.0, noise=0.0)
    found = expected_auroc.expected_auroc(
        plain, patients=2000, inputs=5, prevalence=0.3, auroc=0.85
    )
    assert found.low <= found.auroc <= 0.85
    assert found.auroc == pytest.approx(0.85, abs=0.003)


def test_descent_in_noise_alone_is_chance() -> None:
    lost = Descent(steps=20, sampling_rate=1.0, clip=0.5, learning_rate=1.0, noise=50.0)
    found = expected_auroc.expected_auroc(lost, patients=500, inputs=30, prevalence=0.3, auroc=0.85)
    assert found.auroc == pytest.approx(0.5, abs=0.05)


def test_sampling_at_a_rate_is_worth_less_than_everybody_under_the_same_noise() -> None:
    plain = Descent(steps=30, sampling_rate=1.0, clip=0.5, learning_rate=4.0, noise=0.02)
    whole, sampled = (
        expected_auroc.expected_auroc(
            replace(plain, sampling_rate=rate), patients=500, inputs=20, prevalence=0.2, auroc=0.8
        ).auroc
        for rate in (1.0, 0.02)
    )
    assert sampled < whole


def test_noise_falls_with_honest_shares_and_a_declared_share_raises_it() -> None:
    event = SampledGaussian(noise_multiplier=4.0, sampling_rate=0.5, steps=100)
    per_site, shared = (noise_on_average(ASKED, event, mode) for mode in MODES)
    assert (ASKED.answering, ASKED.honest) == (3, 2)
    assert per_site == pytest.approx(4.0 * 2 / (0.5 * 3710))
    assert shared == pytest.approx(per_site / math.sqrt(2))
    assert noise_on_average(ASKED, event, "distributed", share=4.0) == pytest.approx(per_site)


def test_distributed_noise_is_not_offered_for_what_is_too_large() -> None:
    assert advice(replace(ASKED, parameters=20_000_000), steps=5).distributed is None
    assert advice(replace(ASKED, epsilon=8.0), steps=501).mode == "per_site"


def test_distributed_noise_is_advised_only_where_it_is_worth_it() -> None:
    assert advice(replace(ASKED, epsilon=0.5)).mode == "distributed"
    plenty = advice(replace(ASKED, patients=(50_000,) * 4))
    assert plenty.mode == "per_site" and plenty.chosen is plenty.per_site
    assert plenty.distributed is not None and plenty.distributed.noise < plenty.per_site.noise


def test_distributed_epsilons_name_who_they_hold_against() -> None:
    event = SampledGaussian(
        noise_multiplier=calibrate(epsilon=2, delta=1e-5, sampling_rate=1, steps=12),
        sampling_rate=1.0,
        steps=12,
    )
    found = distributed_epsilons(ASKED, event, 1e-5)
    assert found.colluders == pytest.approx(2.0, rel=0.01)
    assert found.public < found.colluders < found.broken
    own = replace(event, noise_multiplier=event.noise_multiplier / math.sqrt(2))
    assert found.broken == pytest.approx(epsilon(own, 1e-5))


@given(COUNTS)
def test_hospital_is_too_small_exactly_when_the_rest_is_better_off_without_it(
    patients: tuple[int, ...],
) -> None:
    asked = replace(ASKED, patients=patients)
    counts = asked.patients
    n, total = len(counts), sum(counts)
    harmful = {
        place
        for place, count in enumerate(counts)
        if (total - count) / math.sqrt(n - 1) > total / math.sqrt(n) * (1 + 1e-9)
    }
    assert harmful <= set(too_small(asked, "per_site"))
    assert set(too_small(asked, "per_site")) - harmful == set()
    assert too_small(asked, "distributed") == ()


@pytest.mark.parametrize(
    ("patients", "deviation", "by_noise"),
    [(1000, 20, 0.18), (20_000, 20, 0.009), (1000, 1.5, 0.012)],
)
def test_noise_alone_widens_an_auroc_by_about_as_much_as_was_designed(
    patients: int, deviation: float, by_noise: float
) -> None:
    """With 16 bins. Prevalence and scores are not given: a third either way."""
    noisy, exact = (
        auroc_from_histogram(expected_counts(patients, 16), sigma) for sigma in (deviation, 0.0)
    )
    widened = math.sqrt((noisy.high - noisy.low) ** 2 - (exact.high - exact.low) ** 2) / 2
    assert widened == pytest.approx(by_noise, rel=0.34)


def test_expected_counts_are_those_of_their_auroc() -> None:
    counts = expected_counts(1000, 256)
    assert counts.sum() == pytest.approx(1000)
    assert auroc_from_histogram(counts, 0.0).value == pytest.approx(0.8, abs=0.001)


def test_expected_counts_of_a_rare_outcome_are_few_and_of_the_same_auroc() -> None:
    counts = expected_counts(1000, 256, 0.75, 0.05)
    assert counts.sum(axis=1) == pytest.approx([950, 50])
    assert auroc_from_histogram(counts, 0.0).value == pytest.approx(0.75, abs=0.001)


def test_a_rare_outcome_makes_the_released_interval_wider() -> None:
    rare, half = (
        forecast_evaluation(replace(ASKED, patients=(9000,) * 4, prevalence=each), bins=[16])
        for each in (0.05, 0.5)
    )
    assert rare.half_width > 1.5 * half.half_width
    assert (rare.ill, half.ill) == (round(0.05 * rare.test_patients), half.test_patients // 2)


def test_evaluation_of_too_few_patients_says_so_and_takes_the_fewest_bins() -> None:
    half = replace(ASKED, prevalence=None)
    few = forecast_evaluation(replace(half, patients=(42, 42, 42), epsilon=0.5))
    many = forecast_evaluation(replace(half, patients=(60_000,) * 3))
    assert (few.test_patients, few.bins, few.note) == (54, 4, TOO_FEW)
    assert many.bins == 32 and many.note == ""
    assert many.by_noise < many.half_width < 0.02


@pytest.mark.parametrize("bins", [4, 8, 32])
def test_the_forecast_counts_scores_in_the_studys_own_bins(bins: int) -> None:
    study = read_study(TABLE_STUDY)
    evaluation = study.evaluation.model_copy(update={"bins": bins})
    found = study_forecast(study.model_copy(update={"evaluation": evaluation}))
    assert found is not None
    random, labels = np.random.default_rng(0), np.repeat([0, 1], 100_000)
    apart = NormalDist().inv_cdf(0.8) * math.sqrt(2)
    scores = random.normal((labels - 0.5) * apart)
    counts = histogram(scores, labels, ScoreGrid.around(scores).edges(bins))
    assert found.released == pytest.approx(auroc_from_histogram(counts, 0.0).value, abs=0.005)


def test_evaluation_noise_is_that_of_every_hospital() -> None:
    found = forecast_evaluation(ASKED, budgets=[1.0], site_share=0.2, attempts=1)
    each = calibrate(epsilon=1.0, delta=1e-5, sampling_rate=1.0, steps=1)
    assert found.deviation == pytest.approx(each / math.sqrt(0.8) * math.sqrt(4))
    assert found.table_deviations == pytest.approx([each / math.sqrt(0.2)] * 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patients": (100, 100)}, "at least three hospitals are needed, got 2"),
        ({"patients": (100, 100, 0)}, "a hospital needs a training patient"),
        ({"epsilon": math.nan}, "epsilon must lie between"),
        ({"delta": 1.0}, "delta must lie between"),
        ({"delta": 1e-3}, "delta 0.001 must be below 1/1400"),
        ({"gradient_norm": 0.5}, "gradient_norm must be finite and at least 1"),
        ({"prevalence": 1.0}, "prevalence must lie between"),
        ({"auroc": 0.5}, "auroc must lie in"),
        ({"test_fraction": 1.0}, "test_fraction must lie in"),
        ({"colluders": 2}, "cannot bear that many"),
        ({"colluders": -1}, "cannot bear that many"),
        ({"threshold": 5}, "cannot bear that many"),
    ],
)
def test_question_that_makes_no_sense_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(ASKED, **change)  # type: ignore[arg-type]


def test_default_delta_is_a_millionth_or_less() -> None:
    assert default_delta([100, 100]) == 1e-6
    assert default_delta([10**6, 10**6]) == 1 / (2 * 10**7)


def test_examples_in_the_docstrings_hold() -> None:
    for module in (planning, expected_auroc, evaluation_forecast):
        assert doctest.testmod(module).failed == 0


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "study.yaml").write_text(TABLE_STUDY)
    return tmp_path / "study.yaml"


def planned(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["collegium", "study", "plan", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code if isinstance(ended.value.code, int) else 0


def test_plan_for_counts_is_a_table_for_people_and_json_for_machines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--patients", "2000,500,300", "--epsilon", 1, "--prevalence", 0.1, "--json")
    assert planned(monkeypatch, *words) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["asked"]["delta"] == 1e-6 and found["asked"]["honest"] == 2
    assert found["mode"] == "distributed" and found["study"] is None
    assert found["distributed_epsilon"]["colluders"] <= 1.0 < found["distributed_epsilon"]["broken"]
    assert "advised  distributed" in said.err
    assert all(words in said.err for words in (*found["lines"], *found["notes"]))
    assert "could be reached without privacy" in found["notes"][0]


@pytest.mark.parametrize("mode", MODES)
def test_lines_of_the_plan_are_a_study_that_keeps_its_epsilon(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mode: Mode
) -> None:
    """Pasted over a study's own lines: the study is valid, and as good as the advice."""
    target, patients = (4.0, 4000) if mode == "per_site" else (0.3, 100)
    many = (
        TABLE_STUDY.replace("patients: 40", f"patients: {patients}")
        .replace("1e-3", "1e-6")
        .replace("hidden_channels: [4]", "hidden_channels: []")
    )
    study.write_text(many)
    words = (study, "--epsilon", target, "--prevalence", 0.2, "--json")
    assert planned(monkeypatch, *words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mode"] == mode
    task, *others = (line.split("   #")[0] for line in found["lines"])
    lines = many.splitlines(keepends=True)
    network = next(line for line in lines if "network:" in line).strip()
    kept = [
        line
        for line in lines
        if not line.startswith(("training:", "privacy:", "task:")) and "network:" not in line
    ]
    body = "".join(kept)
    pasted = read_study("\n".join([body, merged(network, task), *others]), "pasted")
    assert pasted.task.prevalence == 0.2
    assert pasted.training.steps == found[mode]["steps"] == 60
    assert pasted.privacy.sampling_rate == 1.0
    study.write_text("\n".join([body, merged(network, task), *others]))
    assert planned(monkeypatch, study, "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert again["study"]["noise_multiplier"] == pytest.approx(found[mode]["noise_multiplier"])
    assert again["study"]["expected_auroc"] == again[mode]["expected_auroc"]


def merged(network: str, task: str) -> str:
    inner = network.removeprefix("task:").strip().removeprefix("{").removesuffix("}")
    return task.replace("{prevalence", f"{{{inner.rstrip('}') + '}'}, prevalence")


def test_template_of_a_new_study_is_expected_to_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for target in (1.0, 3.0):
        (tmp_path / "new.yaml").write_text(study_template(epsilon=target))
        assert planned(monkeypatch, tmp_path / "new.yaml", "--json") == 0
        found = json.loads(capsys.readouterr().out)
        assert found["asked"]["prevalence"] == 0.1
        assert found["study"]["expected_auroc"]["low"] > 0.7
        assert any("the study's own settings are as good" in note for note in found["notes"])
        assert "of a hospital's budget for life of epsilon 10" in found["notes"][-1]


def test_small_hospitals_and_hopeless_plans_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--patients", "20,50,60", "--epsilon", 0.1, "--inputs", 100)
    assert planned(monkeypatch, *words) == 0
    said = capsys.readouterr().out
    assert "too few patients for epsilon 0.1: where an AUROC of 0.8 could be reached" in said
    assert "56 test patients, 28 of them ill (assumed: that 30 % of all patients " in said
    assert "no prevalence is declared" in said
    assert "advised " not in said and "In the study:" not in said


def test_a_hospital_too_small_for_local_noise_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--patients", "20,5000,6000", "--epsilon", 8, "--prevalence", 0.3)
    assert planned(monkeypatch, *words) == 0
    said = capsys.readouterr().out
    assert "hospital 1 is too small for per-site noise: with 20 training patients" in said


@pytest.mark.parametrize(("share", "is_said"), [(0.17, True), (0.5, False)])
def test_risks_that_the_clip_makes_too_low_are_foretold(
    share: float, is_said: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--patients", "400,400,400,400", "--epsilon", 3, "--prevalence", share)
    assert planned(monkeypatch, *words) == 0
    assert ("the clip makes risks too low" in capsys.readouterr().out) == is_said


def test_a_studys_own_settings_stand_beside_the_suggestion(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert planned(monkeypatch, study, "--steps", "10", "--json") == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["asked"]["patients"] == [40, 40, 40, 40]
    assert found["asked"]["parameters"] == 3 * 4 + 4 + 4 * 1 + 1
    assert (found["study"]["steps"], found["study"]["mode"]) == (4, "per_site")
    assert found["study"]["priced_steps"] == 6  # two rounds and a spare draw, of two steps
    assert found["study"]["noise_multiplier"] == calibrate(
        epsilon=4, delta=1e-3, sampling_rate=1, steps=6
    )
    assert found["hospitals"][0]["name"] == "east"
    assert "the study  per_site" in said.err


def test_another_epsilon_prices_the_studys_own_settings_anew(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--epsilon", 2, "--delta", 1e-4, "--steps", "10", "--json")
    assert planned(monkeypatch, study, *words) == 0
    own = json.loads(capsys.readouterr().out)["study"]
    assert own["noise_multiplier"] == calibrate(epsilon=2, delta=1e-4, sampling_rate=1, steps=6)


SHARED_NOISE = """\
training: {strategy: fedsgd, rounds: 10, local_steps: 1, learning_rate: 0.5, micro_batch: 8}
privacy: {mode: distributed, epsilon: 4, delta: 1e-3, sampling_rate: 1.0, noise_multiplier: 4,
          own_noise: OWN}
"""


@pytest.mark.parametrize(("own_noise", "noise"), [(0, 4 / math.sqrt(2)), (3.5, 3.5)])
def test_a_study_with_shared_noise_is_priced_with_its_spare_draws_and_its_own_floor(
    study: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    own_noise: float,
    noise: float,
) -> None:
    lines = TABLE_STUDY.splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith(("training:", "privacy:"))]
    study.write_text("".join(kept) + SHARED_NOISE.replace("OWN", str(own_noise)))
    assert planned(monkeypatch, study, "--steps", "10", "--json") == 0
    own = json.loads(capsys.readouterr().out)["study"]
    assert (own["mode"], own["steps"], own["priced_steps"]) == ("distributed", 10, 11)
    assert own["noise_on_average"] == pytest.approx(noise * math.sqrt(4) / 160)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name a study, or give --patients"),
        (["--patients", "1,2,x", "--epsilon", 1], "--patients 'x': give whole numbers"),
        (["--patients", "1,,2", "--epsilon", 1], "--patients '': give whole numbers"),
        (["--patients", "100,100,100"], "--epsilon is missing"),
        (
            ["--patients", "100,100,100", "--epsilon", 0],
            "epsilon must lie between 1e-06 and 1e+06: 0",
        ),
        (["--patients", "100,100", "--epsilon", 1], "at least three hospitals"),
        (["--patients", "100,100,100", "--epsilon", 1, "--prevalence", 1], "prevalence must lie"),
        (["--patients", "100,100,100", "--epsilon", 1, "--auroc", 0.4], "auroc must lie in"),
        (["--patients", "100,100,100", "--epsilon", 1, "--delta", 0.1], "must be below 1/100"),
    ],
)
def test_a_plan_for_nonsense_is_refused_in_a_line(
    words: list[object],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert planned(monkeypatch, *words) == 2
    said = capsys.readouterr()
    assert message in said.err and "Traceback" not in said.err
    assert said.out == "" and len(said.err.strip().splitlines()) == 1


def test_template_whose_files_are_missing_is_refused_by_the_file_and_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = study_template()
    for name, said in (
        (text, "holds no file hospital-a.csv"),
        (re.sub(r"records: \S+.csv, ", "", text), "records: hospital-a.csv, ...}"),
    ):
        (tmp_path / "new.yaml").write_text(name)
        words = ["collegium", "study", "check", str(tmp_path / "new.yaml"), "--data", str(tmp_path)]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == 2 and said in capsys.readouterr().err
