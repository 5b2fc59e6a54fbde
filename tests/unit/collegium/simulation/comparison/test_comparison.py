"""``collegium compare``: what is trained, what is said of it, and what is refused."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from collegium.simulation.comparison import run
from collegium.simulation.comparison.plan import POOLED_RECORDS, variants, with_strategy
from collegium.simulation.comparison.report import write_report
from compliance.facts.comparison.strategies import STRATEGIES_FILE, ComparisonFindings
from compliance.facts.figures import AUROC
from compliance.reports.several_runs.strategies_page import conclusion, strategies_page
from coordinator.views.several_runs.comparisons import strategies_in
from protocol.errors import StoreBroken, StudyRefused
from protocol.study.study_file import read_study
from tests.support.simulated.federation import write_hospitals
from tests.support.simulated.strategies import compared_strategies, damaged
from tests.support.simulated.studies import STATISTICS_STUDY, changed, small_study

PRIVATE = "{mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}"
FREE = changed(PRIVATE, "{mode: none, sampling_rate: 1.0}")
#: The class behind the Ray actor.
Trainer: Any = run.StrategyTrainer.__ray_metadata__.modified_class  # type: ignore[attr-defined]
ASKED = ("fedavg", "mrmtl:pull=0.3", "scaffold")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> ComparisonFindings:
    """Three strategies and pooled records, two seeds each, in this process."""
    data = tmp_path_factory.mktemp("data")
    study = read_study(FREE)
    write_hospitals(data, study)
    trainer, scored = Trainer(study, data, None), []
    for variant in variants(study, ASKED, 2):
        error, one = trainer.train(variant)
        assert error is None
        scored.append(one)
    findings: ComparisonFindings = trainer.found(*scored)
    return findings


def test_every_strategy_is_trained_with_every_seed_and_pooled_records_too() -> None:
    planned = variants(small_study(), ASKED, 3)
    assert [(one.name, one.seed) for one in planned] == [
        (name, seed) for name in (*ASKED, POOLED_RECORDS) for seed in (1, 2, 3)
    ]
    assert {one.study.training.strategy for one in planned} == {"fedavg", "mrmtl", "scaffold"}


def test_trainings_of_a_seed_differ_by_their_strategy_alone() -> None:
    first, other = (one.study.model_dump() for one in variants(small_study(), ASKED[:2], 1)[:2])
    assert {key for key in first if first[key] != other[key]} == {"training"}
    common = {"rounds", "local_steps", "learning_rate", "momentum", "micro_batch"}
    assert all(first["training"][key] == other["training"][key] for key in common)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("fedavgg", "there is no 'fedavgg'; did you mean 'fedavg'?"),
        ("mrmtl:pul=1", "mrmtl has no key 'pul'; did you mean 'pull'?"),
        ("mrmtl:pull", "pull needs a value: pull=..."),
        ("mrmtl:pull=much", "pull: Input should be a valid number"),
        ("mrmtl:pull=30", "keep it below 1"),
        ("fedavg:strategy=scaffold", "fedavg has no key 'strategy'"),
        ("fedavg:strateg=scaffold", "fedavg has no key 'strateg'"),
        ("mrmtl:pull=0.1:pull=0.2", "pull stands there twice"),
        ("fedsgd", "fedsgd needs privacy.mode distributed"),
        ("fedper", "own_layers: Field required"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_its_name(asked: str, said: str) -> None:
    with pytest.raises(StudyRefused) as refused:
        with_strategy(small_study(), asked)
    assert f"--strategies {asked}" in str(refused.value) or "--strategies: there is no" in str(
        refused.value
    )
    assert said in str(refused.value)


@pytest.mark.parametrize("asked", [(), ("fedavg", "fedavg")])
def test_no_strategy_and_one_named_twice_are_refused(asked: tuple[str, ...]) -> None:
    with pytest.raises(StudyRefused, match="names (none|each strategy once)"):
        variants(small_study(), asked, 1)


def test_seeds_beyond_the_largest_are_refused() -> None:
    study = small_study().with_seed(2**53 - 2)
    assert len(variants(study, ("fedavg",), 2)) == 4
    with pytest.raises(StudyRefused, match="3 seeds from it on are too large"):
        variants(study, ("fedavg",), 3)


def test_a_study_that_trains_nothing_is_refused() -> None:
    with pytest.raises(StudyRefused, match="trains nothing"):
        variants(read_study(STATISTICS_STUDY), ("fedavg",), 1)


def test_own_layers_are_named_with_a_plus_between_them() -> None:
    training = with_strategy(small_study(), "fedper:own_layers=output+hidden_0").training
    assert training.model_dump()["own_layers"] == ("output", "hidden_0")


def test_figures_are_those_of_the_same_trainings(found: ComparisonFindings) -> None:
    assert [one.name for one in found.strategies] == [*ASKED, POOLED_RECORDS]
    assert found.seeds == (1, 2)
    for one in found.strategies:
        values = [each.value for each in one.by_site.values()]
        known = [value for value in values if value is not None]
        worst, best = one.extreme(AUROC, best=False), one.extreme(AUROC, best=True)
        assert worst is not None and worst[1] == min(known)
        assert best is not None and best[1] == max(known)
        assert one.by_site[worst[0]].value == worst[1]
    assert [one.own_models for one in found.strategies] == [False, True, False, False]
    assert found.strategies[0].lead is None
    assert all(one.lead is not None for one in found.strategies[1:])


def test_bytes_are_those_of_a_round_and_scaffold_sends_no_more_up(
    found: ComparisonFindings,
) -> None:
    fedavg, mrmtl, scaffold, pooled = found.strategies
    assert fedavg.bytes_up == mrmtl.bytes_up == scaffold.bytes_up
    assert fedavg.bytes_up is not None and fedavg.bytes_up % 4 == 0
    assert fedavg.bytes_down is not None and scaffold.bytes_down is not None
    assert fedavg.bytes_down < scaffold.bytes_down < 3 * fedavg.bytes_down
    assert pooled.bytes_up is None and pooled.bytes_down is None


def test_page_json_and_csv_have_the_same_figures(found: ComparisonFindings, tmp_path: Path) -> None:
    path = write_report(found, tmp_path / "out")
    html = path.read_text()
    told = json.loads(path.with_suffix(".json").read_text())
    rows = list(csv.reader(io.StringIO(path.with_suffix(".csv").read_text())))
    for one, said in zip(found.strategies, told["strategies"], strict=True):
        assert said["everybody"]["value"] == one.everybody.value
        assert one.name in html
        assert any(one.name in row for row in rows)
    assert told["seeds"] == [1, 2] and told["figure"] == "auroc"
    assert "Exact figures" in html and "own model" in html


@pytest.mark.parametrize(
    ("leads", "said"),
    [
        ([(0.01, 0.05), (-0.02, 0.01)], "Better than first: s0, lead 0.000 (0.010 to 0.050)."),
        (
            [(-0.05, -0.01), (0.01, 0.02)],
            "Better than first: s1, lead 0.000 (0.010 to 0.020); "
            "worse than first: s0, lead 0.000 (-0.050 to -0.010).",
        ),
        ([(-0.05, 0.01), (None, None)], "No difference from first is shown."),
        ([(0.0, 0.01), (-0.01, 0.0)], "No difference from first is shown."),
    ],
)
def test_a_strategy_is_called_better_where_its_interval_leaves_out_0(
    leads: list[tuple[float | None, float | None]], said: str
) -> None:
    findings = compared_strategies(*leads)
    assert conclusion(findings) == said
    assert any(said == statement.text for statement in strategies_page(findings).banner)


def test_a_conclusion_writes_names_as_they_were_asked_for() -> None:
    findings = compared_strategies((0.01, 0.05))
    first, other = findings.strategies
    first = first.model_copy(update={"name": "fedper:own_layers=Head"})
    named = findings.model_copy(update={"strategies": (first, other)})
    assert conclusion(named).startswith("Better than fedper:own_layers=Head: s0")


def test_what_was_written_is_read_back_and_what_differs_is_refused(
    found: ComparisonFindings, tmp_path: Path
) -> None:
    write_report(found, tmp_path)
    assert strategies_in(tmp_path) == found and strategies_in(tmp_path / "nowhere") is None
    for kept in damaged(found.to_json()):
        (tmp_path / STRATEGIES_FILE).write_text(json.dumps(kept))
        with pytest.raises(StoreBroken, match="is damaged, or no comparison at all"):
            strategies_in(tmp_path)


def test_with_fewer_than_three_seeds_no_lead_has_an_interval(found: ComparisonFindings) -> None:
    """What the next seed would give is not known; a single one must not look sure either."""
    assert all(one.lead is not None and one.lead.low is None for one in found.strategies[1:])


def test_a_single_seed_gives_no_interval_of_a_lead(tmp_path: Path) -> None:
    study = read_study(FREE)
    write_hospitals(tmp_path, study)
    trainer = Trainer(study, tmp_path, None)
    scored = [trainer.train(one)[1] for one in variants(study, ASKED[:2], 1)]
    first, other, _pooled = trainer.found(*scored).strategies
    assert first.lead is None
    assert other.lead.value is not None and other.lead.low is None and other.lead.high is None


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        ("head", "training.own_layers: no layer 'head' has parameters; there are "),
        ("output+hidden_0", "nothing is left to be learned together"),
    ],
)
def test_own_layers_that_are_none_or_all_are_refused(
    layers: str, said: str, tmp_path: Path
) -> None:
    study = read_study(FREE)
    write_hospitals(tmp_path, study)
    variant = variants(study, (f"fedper:own_layers={layers}",), 1)[0]
    error, scored = Trainer(study, tmp_path, None).train(variant)
    assert isinstance(error, StudyRefused) and said in str(error) and scored is None
    with pytest.raises(StudyRefused, match=f"^--strategies {re.escape(variant.name)}: ") as refused:
        run.require_layers(variant)
    assert said in str(refused.value)
