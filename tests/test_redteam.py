"""The attacker must see every fault that was put in, and leave the honest trainer alone."""

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from collegium import cli, redteam_noise, redteam_records
from collegium.redteam import read_hospitals, red_team
from collegium.redteam_bench import Chances, local_privacy
from collegium.redteam_noise import conformance, one_run_audit
from collegium.redteam_records import inversion
from compliance.noise import DiscreteGaussian
from pipelines.canaries import ChosenGradients, Directions, canary_records
from pipelines.inversion import FirstLayer, best_match, recover
from pipelines.membership import Membership, halves, lira, measure, rmia
from pipelines.networks import build
from pipelines.records import Records
from protocol.encoding import digest
from protocol.keystream import Keystream
from protocol.study import Study
from protocol.study_file import read_study
from protocol.tensors import Layout, Tensors
from silos.entropy import Entropy, FixedEntropy, Moment
from silos.participation import PrivacyPlan
from silos.trainer import Trainer
from tests.federation import write_hospitals
from tests.studies import TABLE_STUDY, small_study


def varied(changes: Mapping[str, str]) -> Study:
    text = TABLE_STUDY
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new, 1)
    return read_study(text)


#: Wide, so that few releases hold 100,000 numbers.
WIDE = varied(
    {
        "hidden: [4]": "hidden: [1000]",
        "clip: 1.0, sampling_rate: 1.0": "clip: 0.7, sampling_rate: 0.5",
    }
)
#: The design's figures: full batch, z = 10, 100 steps: theory 4.38 at delta 1e-5.
LONG = varied(
    {
        "hidden: [4]": "hidden: [200]",
        "rounds: 2, local_steps: 2": "rounds: 100, local_steps: 1",
        "epsilon: 4, delta: 1e-3": "epsilon: 4.4, delta: 1e-5, noise_multiplier: 10",
    }
)


def chances(entropy: Entropy | None = None) -> Chances:
    return Chances(
        entropy=entropy or FixedEntropy(7, simulated=True), random=np.random.default_rng(7)
    )


def failed(make: type[Trainer] = Trainer, entropy: Entropy | None = None) -> set[str]:
    """The names of the checks that a trainer fails."""
    checks = conformance(WIDE, 2.0, make, chances(entropy), attempt=0)
    return {check.name for check in checks if not check.passed}


class WeakNoise(Trainer):
    """Noise of 0.3 times the multiplier."""

    def update(
        self, model: Tensors, number: int, attempt: int, noise_multiplier: float | None,
        entropy: Entropy,
    ) -> NDArray[np.float64]:  # fmt: skip
        weak = None if noise_multiplier is None else 0.3 * noise_multiplier
        return super().update(model, number, attempt, weak, entropy)


class SkipsEmptyBatches(Trainer):
    """Changes nothing when nobody was sampled."""

    def update(
        self, model: Tensors, number: int, attempt: int, noise_multiplier: float | None,
        entropy: Entropy,
    ) -> NDArray[np.float64]:  # fmt: skip
        gradients = self._gradients
        assert isinstance(gradients, ChosenGradients)
        before = gradients.num_seen
        update = super().update(model, number, attempt, noise_multiplier, entropy)
        return update if gradients.num_seen > before else np.zeros_like(update)


class Reused:
    """Entropy that forgets some of what noise must depend on."""

    is_secret = False

    def __init__(self, **forgotten: int) -> None:
        self._fixed = FixedEntropy(7, simulated=True)
        self._forgotten = forgotten

    def stream(self, moment: Moment) -> Keystream:
        if moment.use != "noise":
            return self._fixed.stream(moment)
        same = replace(moment, sample="", site="", model="", dataset="", study="")
        return self._fixed.stream(replace(same, **self._forgotten))  # type: ignore[arg-type]


class FloatNoise(DiscreteGaussian):
    """What a float generator gives, rounded to multiples of ``step``, or not at all."""

    step = 0.0

    def sample(self, stream: Keystream, count: int) -> NDArray[np.int64]:
        random = np.random.default_rng(int(stream.words(1, np.uint64)[0]))
        drawn = random.normal(scale=self.sigma, size=count)
        rounded = np.rint(drawn / self.step) * self.step if self.step else drawn
        return rounded if not self.step else rounded.astype(np.int64)  # type: ignore[return-value]


class CoarseNoise(FloatNoise):
    """Noise that lost its last bits."""

    step = 8.0


def test_the_honest_trainer_passes() -> None:
    assert failed() == set()


def test_weak_noise_is_caught() -> None:
    assert "size of the noise" in failed(WeakNoise)


def test_a_skipped_empty_batch_is_caught() -> None:
    assert failed(SkipsEmptyBatches) == {"noise of empty batches"}


def test_noise_that_is_used_in_two_rounds_is_caught() -> None:
    assert "independence of the releases" in failed(entropy=Reused(round=0))


def test_noise_that_is_used_in_two_steps_of_a_round_is_caught() -> None:
    assert "independence of a round's 2 steps" in failed(entropy=Reused(step=0))


def test_noise_that_two_hospitals_share_is_caught() -> None:
    class SharedByPairs(Reused):
        def stream(self, moment: Moment) -> Keystream:
            return super().stream(replace(moment, round=moment.round // 2 * 2))

    assert "independence of the releases" in failed(entropy=SharedByPairs())


@pytest.mark.parametrize(
    ("noise", "seen"),
    [(FloatNoise, "whole numbers only"), (CoarseNoise, "last bits of the noise")],
)
def test_noise_from_floats_is_caught(
    monkeypatch: pytest.MonkeyPatch, noise: type[FloatNoise], seen: str
) -> None:
    monkeypatch.setattr("silos.trainer.DiscreteGaussian", noise)
    assert seen in failed()


def test_an_update_rounded_to_float32_is_caught() -> None:
    class Rounded(Trainer):
        def update(
            self, model: Tensors, number: int, attempt: int, noise_multiplier: float | None,
            entropy: Entropy,
        ) -> NDArray[np.float64]:  # fmt: skip
            update = super().update(model, number, attempt, noise_multiplier, entropy)
            return update.astype(np.float32).astype(np.float64)

    assert failed(Rounded) == {"whole numbers only"}


def test_a_sampling_rate_above_the_plan_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(stream: Keystream, rate: float, count: int) -> NDArray[np.bool_]:
        return np.less(stream.words(count, np.uint64) / 2.0**64, min(1.0, 1.2 * rate))

    monkeypatch.setattr("silos.trainer.poisson_sample", greedy)
    assert failed() == {"sampling of patients"}


def test_batches_of_a_fixed_size_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def fixed(stream: Keystream, rate: float, count: int) -> NDArray[np.bool_]:
        return np.argsort(np.argsort(stream.words(count, np.uint64))) < round(rate * count)

    monkeypatch.setattr("silos.trainer.poisson_sample", fixed)
    assert failed() == {"sampling of patients"}


def test_audit_of_the_honest_trainer_bounds_epsilon_below_the_claim() -> None:
    privacy = local_privacy(LONG)
    audit = one_run_audit(LONG, PrivacyPlan.of(LONG, privacy), Trainer, chances())
    assert audit.claim == pytest.approx(4.377, abs=1e-3)
    assert 1.0 < audit.bound < 2.3
    assert not audit.contradicted


def test_audit_contradicts_weak_noise_twice() -> None:
    privacy = local_privacy(LONG)
    audit = one_run_audit(LONG, PrivacyPlan.of(LONG, privacy), WeakNoise, chances())
    assert len(audit.runs) == 2
    assert audit.bound > 4.38
    assert audit.contradicted


def test_canaries_point_in_unit_directions_of_their_own() -> None:
    directions = Directions(np.array([True, False, True]), 5, np.random.default_rng(1))
    rows = directions.gradients(np.arange(3), 2.0)
    assert np.linalg.norm(rows, axis=1).tolist() == [2.0, 0.0, 2.0]
    assert np.count_nonzero(rows.sum(axis=0)) == 2


def test_canaries_that_share_coordinates_are_told_apart_over_rounds() -> None:
    random = np.random.default_rng(1)
    inside = random.random(60) < 0.5
    directions = Directions(inside, 20, random)
    for _ in range(6):
        directions.observe(directions.gradients(np.arange(60), 1.0).sum(axis=0).astype(np.float64))
        directions.turn()
    assert ((directions.estimates(1e-4) > 0.5) == inside).all()


def test_canaries_tell_the_engine_who_they_are() -> None:
    records = canary_records(300, (2, 3))
    seen: list[int] = []

    def choice(numbers: NDArray[np.int64]) -> NDArray[np.float32]:
        seen.extend(numbers.tolist())
        return np.zeros((len(numbers), 1), dtype=np.float32)

    module = build(WIDE.task, WIDE.cohort, 1)
    ChosenGradients(choice)(module, records.features[:, None], records.labels[:, None], 290)
    assert seen == list(range(290))


def attacked(shift: float, models: int = 16) -> tuple[Membership, Membership]:
    """LiRA and RMIA on drawn margins that are higher by ``shift`` for members."""
    random = np.random.default_rng(5)
    members = halves(models, 200, random)
    sure = random.normal(size=200) + random.normal(size=(models, 200)) + shift * members
    return (
        measure("LiRA", lira(sure, members), members, random),
        measure("RMIA", rmia(sure, members), members, random),
    )


def test_membership_attacks_find_nothing_where_nothing_is() -> None:
    for found in attacked(0.0):
        assert found.auroc.low < 0.5 < found.auroc.high
        assert found.true_alarms.low < 0.015


def test_membership_attacks_find_members_of_models_that_learned_by_heart() -> None:
    strong, light = attacked(3.0)
    assert strong.auroc.low > 0.95
    assert strong.true_alarms.low > 0.3
    assert light.auroc.low > 0.75


def test_halves_are_fair_and_odd_numbers_are_refused() -> None:
    members = halves(6, 50, np.random.default_rng(1))
    assert (members.sum(axis=0) == 3).all()
    with pytest.raises(ValueError, match="an even number of models"):
        halves(5, 50, np.random.default_rng(1))


def test_a_record_is_the_quotient_of_weight_and_bias_gradients() -> None:
    record = np.array([0.5, -2.0, 1.0])
    layout = Layout(names=("b", "w"), shapes=((2,), (2, 3)))
    update = np.concatenate([[3.0, 0.0], 3.0 * record, [9.0, 9.0, 9.0]])
    found = recover(update, layout, FirstLayer(weight="w", bias="b"))
    assert found.tolist() == [record.tolist(), [0.0, 0.0, 0.0]]
    assert best_match(found, record[None].astype(np.float32)) == pytest.approx(1.0)


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Records, Records]]:
    folder = tmp_path_factory.mktemp("records")
    write_hospitals(folder, small_study())
    return read_hospitals(small_study(), folder, folder)


def test_a_bare_update_shows_the_record_and_a_noised_one_does_not(
    hospitals: dict[str, tuple[Records, Records]],
) -> None:
    study = small_study()
    found = {i.seen: i for i in inversion(study, 5.0, "east", hospitals, Trainer, chances())}
    assert found["one patient's update, bare"].inside > 0.999
    noised = found["one patient's update, noised"]
    assert noised.inside < 0.95
    assert abs(noised.inside - noised.outside) < 0.4


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer numbers and models: for the way through, not for power."""
    monkeypatch.setattr(redteam_noise, "_COORDINATES", 4_000)
    monkeypatch.setattr(redteam_records, "_LIRA_MODELS", 6)
    monkeypatch.setattr(redteam_records, "_OVERTRAINING", 30)
    monkeypatch.setattr(redteam_noise, "_CANARIES", 200)
    monkeypatch.setattr(redteam_records, "_DRAWS", 4)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(TABLE_STUDY)
    write_hospitals(tmp_path, small_study())
    return path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["collegium", "redteam", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code if isinstance(ended.value.code, int) else 0


def test_the_command_writes_page_and_json_and_ends_well(
    study: Path, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / "out"
    assert run(monkeypatch, study, "--data", tmp_path, "--out", out, "--json") == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told["contradicted"] is False
    assert all(check["passed"] for check in told["conformance"])
    assert "Nothing contradicts the claim." in captured.err
    html = (out / "redteam.html").read_text()
    assert "the hospital&#39;s own eyes only" in html
    assert "lower bound" in html
    assert json.loads((out / "redteam.json").read_text())["kind"] == "red-team"


def test_the_command_fails_when_the_noise_is_weak_in_two_tests(
    study: Path, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(
        "silos.trainer.DiscreteGaussian", lambda sigma: DiscreteGaussian(0.3 * sigma)
    )
    out = tmp_path / "out"
    assert run(monkeypatch, study, "--data", tmp_path, "--out", out) == 1
    said = capsys.readouterr().err
    assert "testing again with fresh noise" in said
    assert "The claim is contradicted: the released noise is not what was promised" in said
    assert "FAILED" in (out / "redteam.html").read_text()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "mode: local, epsilon: 4, delta: 1e-3, clip: 1.0,",
            "mode: none,",
            "privacy.mode is none",
        ),
        ("epsilon: 4", "epsilonn: 4", "did you mean 'epsilon'"),
        ("east.csv", "easter.csv", "holds no file easter.csv"),
    ],
)
def test_what_cannot_be_attacked_is_refused_in_words(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], old: str, new: str, said: str,
) -> None:  # fmt: skip
    study.write_text(TABLE_STUDY.replace(old, new, 1))
    assert run(monkeypatch, study, "--data", tmp_path, "--out", tmp_path / "out") == 2
    message = capsys.readouterr().err
    assert said in message
    assert "Traceback" not in message
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_a_file_is_refused_before_work(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    before = digest(study.read_bytes())
    assert run(monkeypatch, study, "--data", tmp_path, "--out", study) == 2
    assert "is a file: name a folder" in capsys.readouterr().err
    assert digest(study.read_bytes()) == before


def test_two_attacks_with_the_same_chances_agree(study: Path, tmp_path: Path, quick: None) -> None:
    from rich.console import Console

    results = [
        red_team(
            small_study(), tmp_path, tmp_path, tmp_path / f"out{n}",
            Console(quiet=True), chances=chances(),
        ).to_json()
        for n in range(2)
    ]  # fmt: skip
    for result in results:
        del result["seconds"]
    assert results[0] == results[1]
