"""Planning help: suggestions that keep their epsilon, get better with patients, and say no."""

import doctest
import json
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from collegium import cli
from compliance import planning
from compliance.accounting import calibrate, epsilon
from compliance.planning import (
    Mode,
    Plan,
    Question,
    best_plan,
    default_delta,
    distributed_epsilons,
    expected_counts,
    forecast_evaluation,
    noise_on_average,
    remaining_error,
    suggest,
    too_small,
)
from compliance.released_metrics import TOO_FEW, auroc_from_histogram
from tests.studies import TABLE_STUDY

ASKED = Question(patients=(1400, 1050, 700, 560), epsilon=2.0, delta=1e-5)
RATES, STEPS = (0.2, 1.0), (10, 100)
COUNTS = st.lists(st.integers(200, 20_000), min_size=3, max_size=6).map(tuple)
MODES: list[Mode] = ["local", "distributed"]


def small_grid(asked: Question, mode: Mode = "local") -> Plan:
    return best_plan(asked, mode, rates=RATES, steps=STEPS)


@settings(max_examples=6, deadline=None)
@given(COUNTS, st.floats(0.3, 6), st.sampled_from(MODES))
def test_suggestion_priced_again_keeps_its_epsilon(
    patients: tuple[int, ...], target: float, mode: Mode
) -> None:
    asked = replace(ASKED, patients=patients, epsilon=round(target, 1))
    plan = small_grid(asked, mode)
    assert 0.95 * asked.epsilon < epsilon(plan.event, asked.delta) <= asked.epsilon
    assert plan.event.steps == plan.steps + 1  # a spare draw is paid for


@settings(max_examples=6, deadline=None)
@given(st.floats(0.3, 6), st.floats(1.01, 3), st.sampled_from([(0.2, 10), (0.2, 100), (1.0, 30)]))
def test_more_epsilon_never_needs_more_noise(
    target: float, factor: float, setting: tuple[float, int]
) -> None:
    low, high = round(target, 1), round(target * factor, 1)
    assume(high > low)
    less, more = (replace(ASKED, epsilon=each).calibrate(*setting) for each in (low, high))
    assert more <= less


@settings(max_examples=12, deadline=None)
@given(st.sampled_from([0.5, 1.0, 2.0]), st.integers(1, 5), st.sampled_from(MODES))
def test_more_epsilon_never_makes_the_suggestion_worse(
    target: float, more: int, mode: Mode
) -> None:
    better = replace(ASKED, epsilon=target + more)
    assert small_grid(better, mode).merit <= small_grid(replace(ASKED, epsilon=target), mode).merit


@settings(max_examples=40, deadline=None)
@given(COUNTS, st.data(), st.sampled_from(MODES))
def test_more_patients_never_make_the_suggestion_worse(
    patients: tuple[int, ...], data: st.DataObject, mode: Mode
) -> None:
    place = data.draw(st.integers(0, len(patients) - 1))
    grown = list(patients)
    grown[place] += data.draw(st.integers(1, 5000))
    before = small_grid(replace(ASKED, patients=patients), mode)
    after = small_grid(replace(ASKED, patients=tuple(grown)), mode)
    assert after.merit <= before.merit


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("parameters", [10, 1000, 100_000])
def test_search_finds_what_trying_everything_finds(mode: Mode, parameters: int) -> None:
    asked = replace(ASKED, parameters=parameters)
    every = [
        planning.value(
            asked,
            planning._event(asked.calibrate(rate, paid), rate, paid),
            mode,
            steps=steps,
        )
        for rate in RATES
        for steps in STEPS
        for paid in [asked.releases(steps)]
    ]
    assert small_grid(asked, mode) == min(every, key=lambda plan: plan.merit)


@given(st.floats(1e-5, 10), st.integers(1, 2000), st.sampled_from([0.05, 0.5, 1.0]))
def test_error_is_that_of_the_best_step_size(noise: float, steps: int, rate: float) -> None:
    variance = (1 - rate) / (rate * 3710) + 1000 * noise**2
    sizes = np.geomspace(1e-6, 1, 2000)
    by_search = float(np.min(1 / (2 * sizes * steps) + sizes * variance))
    found = remaining_error(ASKED, rate, steps, noise)
    assert found == pytest.approx(by_search, rel=1e-4)
    assert remaining_error(ASKED, rate, steps, 0.0) <= found


def test_noise_falls_with_honest_shares_and_a_declared_share_raises_it() -> None:
    event = planning._event(4.0, 0.5, 100)
    local, shared = (noise_on_average(ASKED, event, mode) for mode in MODES)
    assert (ASKED.answering, ASKED.honest) == (3, 2)
    assert local == pytest.approx(4.0 * 2 / (0.5 * 3710))
    assert shared == pytest.approx(local / math.sqrt(2))
    assert noise_on_average(ASKED, event, "distributed", share=4.0) == pytest.approx(local)


@pytest.mark.parametrize(
    ("parameters", "promises_nothing", "is_drowned"),
    [(1000, False, False), (10**6, True, False), (10**8, True, True)],
)
def test_many_parameters_drown_few_patients(
    parameters: int, promises_nothing: bool, is_drowned: bool
) -> None:
    plan = small_grid(replace(ASKED, parameters=parameters))
    assert (plan.promises_nothing, plan.is_drowned) == (promises_nothing, is_drowned)


def test_signal_to_noise_is_that_of_gradients_which_all_agree() -> None:
    """T averaged gradients of norm 1 against T draws of noise in every parameter."""
    plan = planning.value(ASKED, planning._event(4.0, 0.5, 100), "local")
    noise = np.random.default_rng(1).normal(0, plan.noise, (100, 1000)).sum(axis=0)
    assert plan.signal_to_noise == pytest.approx(100 / np.linalg.norm(noise), rel=0.1)


def test_distributed_noise_is_not_offered_for_what_is_too_large() -> None:
    large = replace(ASKED, parameters=20_000_000)
    assert suggest(large, rates=[1.0], steps=[10]).distributed is None
    assert suggest(ASKED, rates=[1.0], steps=[1000]).distributed is None
    assert suggest(ASKED, rates=[1.0], steps=[1000]).mode == "local"


def test_distributed_noise_is_taken_only_where_it_is_much_better() -> None:
    found = suggest(ASKED, rates=[1.0], steps=[10])
    assert found.distributed is not None
    much = replace(found.distributed, error=0.74 * found.local.error)
    little = replace(found.distributed, error=0.76 * found.local.error)
    assert replace(found, distributed=much).chosen is much
    assert replace(found, distributed=little).chosen is found.local


def test_distributed_epsilons_name_who_they_hold_against() -> None:
    event = planning._event(calibrate(epsilon=2, delta=1e-5, sampling_rate=1, steps=12), 1.0, 12)
    found = distributed_epsilons(ASKED, event, 1e-5)
    assert found.colluders == pytest.approx(2.0, rel=0.01)
    assert found.public < found.colluders < found.broken
    own = planning._event(event.noise_multiplier / math.sqrt(2), 1.0, 12)
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
    assert harmful <= set(too_small(asked, "local"))
    assert set(too_small(asked, "local")) - harmful == set()
    assert too_small(asked, "distributed") == ()


@pytest.mark.parametrize(
    ("patients", "deviation", "by_noise"),
    [(1000, 20, 0.18), (20_000, 20, 0.009), (1000, 1.5, 0.012)],
)
def test_noise_alone_widens_an_auroc_as_the_rulings_say(
    patients: int, deviation: float, by_noise: float
) -> None:
    """Ruling 13, 16 bins. Its prevalence and scores are not given: a third either way."""
    noisy, exact = (
        auroc_from_histogram(expected_counts(patients, 16), sigma) for sigma in (deviation, 0.0)
    )
    widened = math.sqrt((noisy.high - noisy.low) ** 2 - (exact.high - exact.low) ** 2) / 2
    assert widened == pytest.approx(by_noise, rel=0.34)


def test_expected_counts_are_those_of_their_auroc() -> None:
    counts = expected_counts(1000, 256)
    assert counts.sum() == pytest.approx(1000)
    assert auroc_from_histogram(counts, 0.0).value == pytest.approx(0.8, abs=0.001)


def test_evaluation_of_too_few_patients_says_so_and_takes_the_fewest_bins() -> None:
    few = forecast_evaluation(replace(ASKED, patients=(42, 42, 42), epsilon=0.5))
    many = forecast_evaluation(replace(ASKED, patients=(60_000,) * 3))
    assert (few.test_patients, few.bins, few.note) == (54, 8, TOO_FEW)
    assert many.bins == 32 and many.note == ""
    assert many.by_noise < many.half_width < 0.02


def test_evaluation_noise_is_that_of_every_hospital() -> None:
    found = forecast_evaluation(ASKED, budget=1.0, site_share=0.2, attempts=1)
    each = calibrate(epsilon=1.0, delta=1e-5, sampling_rate=1.0, steps=1)
    assert found.deviation == pytest.approx(each / math.sqrt(0.8) * math.sqrt(4))
    assert found.table_deviation == pytest.approx(each / math.sqrt(0.2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patients": (100, 100)}, "at least three hospitals are needed, got 2"),
        ({"patients": (100, 100, 0)}, "a hospital needs a training patient"),
        ({"epsilon": math.nan}, "epsilon must be finite"),
        ({"delta": 1.0}, "delta must lie in"),
        ({"delta": 1e-3}, "delta 0.001 must be below 1/1400"),
        ({"parameters": 0}, "parameters must be at least 1"),
        ({"test_fraction": 1.0}, "test_fraction must lie in"),
        ({"colluders": 2}, "cannot bear that many"),
        ({"colluders": -1}, "cannot bear that many"),
        ({"threshold": 5}, "cannot bear that many"),
    ],
)
def test_question_that_makes_no_sense_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(ASKED, **change)  # type: ignore[arg-type]


def test_empty_or_unreachable_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="no plan on this grid"):
        best_plan(ASKED, "local", rates=[], steps=[10])


def test_default_delta_is_a_millionth_or_less() -> None:
    assert default_delta([100, 100]) == 1e-6
    assert default_delta([10**6, 10**6]) == 1 / (2 * 10**7)


def test_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(planning).failed == 0


def planned(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["collegium", "study", "plan", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code if isinstance(ended.value.code, int) else 0


def test_plan_for_counts_is_a_table_for_people_and_json_for_machines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--patients", "2000,500,300", "--epsilon", 1, "--steps", "50,200", "--json")
    assert planned(monkeypatch, *words) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["asked"]["delta"] == 1e-6 and found["asked"]["honest"] == 2
    assert found["mode"] == "distributed" and found["study"] is None
    assert found["distributed_epsilon"]["colluders"] <= 1.0 < found["distributed_epsilon"]["broken"]
    assert "suggested    distributed" in said.err
    assert [note for note in found["notes"] if "least error left" in note][0] in said.err


def test_small_hospitals_and_drowned_plans_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--patients", "20,50,60", "--epsilon", 0.1, "--steps", 1000)
    assert planned(monkeypatch, *words) == 0
    said = capsys.readouterr().err
    assert "too few patients for epsilon 0.1 and 1000 parameters: the noise is three times" in said
    assert "hospital 1 is too small for local noise: with 20 training patients" in said
    assert "56 test patients and 8 bins: too few patients for this epsilon" in said
    assert "suggested " not in said


@pytest.fixture
def study(tmp_path: Path) -> Path:
    (tmp_path / "study.yaml").write_text(TABLE_STUDY)
    return tmp_path / "study.yaml"


def test_a_studys_own_settings_stand_beside_the_suggestion(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert planned(monkeypatch, study, "--steps", "10,50", "--json") == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["asked"]["patients"] == [40, 40, 40, 40]
    assert found["asked"]["parameters"] == 3 * 4 + 4 + 4 * 1 + 1
    assert (found["study"]["steps"], found["study"]["mode"]) == (4, "local")
    assert found["study"]["releases"] == 6  # two rounds and a spare draw, of two steps
    assert found["study"]["noise_multiplier"] == calibrate(
        epsilon=4, delta=1e-3, sampling_rate=1, steps=6
    )
    assert found["hospitals"][0]["name"] == "east"
    assert "the study    local" in said.err


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
    assert (own["mode"], own["steps"], own["releases"]) == ("distributed", 10, 11)
    assert own["noise_on_average"] == pytest.approx(noise * math.sqrt(4) / 160)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name a study, or give --patients"),
        (["--patients", "1,2,x", "--epsilon", 1], "--patients 'x': give whole numbers"),
        (["--patients", "1,,2", "--epsilon", 1], "--patients '': give whole numbers"),
        (["--patients", "100,100,100"], "--epsilon is missing"),
        (["--patients", "100,100,100", "--epsilon", 0], "epsilon must be finite and above zero: 0"),
        (["--patients", "100,100", "--epsilon", 1], "at least three hospitals"),
        (["--patients", "100,100,100", "--epsilon", 1, "--steps", 0], "--steps '0'"),
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
