"""Plays the attacker: is the privacy that a study claims really there?

The attacker runs the hospital's own trainer in this process, on canaries and
on the study's records, and sees what a hospital would release. Four parts,
strongest first: the noise itself, an audit in one run, membership inference,
inversion of the first layer.

Whoever attacks real records makes a release of its own: this is for
simulations and synthetic records, or for the hospital's own eyes.
"""

import math
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from collegium.consortium import Settings, index_file, simulated_split_key
from compliance.accounting import SampledGaussian, epsilon
from compliance.auditing import (
    Check,
    OneRun,
    audit_in_runs,
    check_independence,
    check_residues,
    check_sampling,
    check_shape,
    check_variance,
    check_whole_numbers,
    guess,
)
from pipelines.canaries import ChosenGradients, Directions, canary_records
from pipelines.cohort import Records, check_cohort, columns_to_keep, load_cohort
from pipelines.dealing import deal
from pipelines.inversion import best_match, first_layer, recover
from pipelines.membership import (
    Membership,
    halves,
    lira,
    margins,
    measure,
    overtrained,
    patient_logits,
    rmia,
)
from pipelines.networks import build
from pipelines.splits import split
from protocol.contract import TableCohort
from protocol.errors import StudyRefused, WorkspaceRefused
from protocol.noise_shares import units_for
from protocol.study import BUNDLED, LocalPrivacy, Study
from protocol.tensors import Tensors, flatten, layout_of, unflatten
from silos.entropy import Entropy, Moment, SecretEntropy
from silos.participation import PrivacyPlan
from silos.trainer import Trainer

Floats: TypeAlias = NDArray[np.float64]
MakeTrainer: TypeAlias = Callable[[Study, str, Records, Records], Trainer]

_COORDINATES = 100_000
_MOST_RELEASES = 5000
_EMPTY_RATE = 1e-12
_BENCH_PATIENTS = 64
_MOST_LOCAL_STEPS = 50

_CANARIES = 1000
_GUESSED = 0.3  # of the canaries, fixed beforehand
_RUNS = 1
_LEVEL = 0.05
_AUDIT_DELTA = 1e-5
_AUDIT_WORK = 2e9  # canaries x parameters x steps

_POOL = 128
_LIRA_MODELS, _RMIA_MODELS = 32, 6
_LIRA_STEPS = 200  # longer trainings are attacked with few models
_MOST_STEPS = 300
_OVERTRAINING = 300

_DRAWS = 20


@dataclass(frozen=True, kw_only=True)
class Chances:
    """The attacker's randomness: the trainer's noise and the coins, and what needs no secrecy."""

    entropy: Entropy = field(default_factory=SecretEntropy)
    random: np.random.Generator = field(
        default_factory=lambda: np.random.default_rng(secrets.randbits(128))
    )


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Every one-run audit, and the claim they were held against."""

    runs: tuple[OneRun, ...]
    claim: float
    delta: float
    steps: int
    contradicted: bool

    @property
    def bound(self) -> float:
        """The largest lower bound of epsilon."""
        return max(run.bound for run in self.runs)


@dataclass(frozen=True, kw_only=True)
class Attack:
    """One membership attack, on models trained in one way."""

    training: str
    steps: int
    found: Membership


@dataclass(frozen=True, kw_only=True)
class Inversion:
    """The best cosine of a recovered record: with patients in the update, and with others."""

    seen: str
    inside: float
    outside: float


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Everything the attacker found; the page is a function of it."""

    study: Study
    plan: PrivacyPlan
    site: str
    conformance: tuple[Check, ...]
    retested: bool
    audit: Audit
    attacks: tuple[Attack, ...]
    inversions: tuple[Inversion, ...]
    seconds: dict[str, float]

    @property
    def conforms(self) -> bool:
        """Whether the noise is what was promised."""
        return all(check.passed for check in self.conformance)

    @property
    def contradicted(self) -> bool:
        """Whether anything, tested again, contradicts the claim."""
        return not self.conforms or self.audit.contradicted

    def to_json(self) -> dict[str, Any]:
        """Returns the figures for ``--json``."""
        return {
            "study": self.study.digest,
            "contradicted": self.contradicted,
            "epsilon": self.plan.epsilon,
            "delta": self.plan.delta,
            "conformance": [
                {"check": c.name, "passed": c.passed, "p_value": c.p_value, "found": c.found}
                for c in self.conformance
            ],
            "one_run": {
                "lower_bounds": [run.bound for run in self.audit.runs],
                "claimed": self.audit.claim,
                "delta": self.audit.delta,
                "contradicted": self.audit.contradicted,
            },
            "membership": [
                {
                    "training": a.training,
                    "attack": a.found.attack,
                    "auroc": [a.found.auroc.value, a.found.auroc.low, a.found.auroc.high],
                    "true_alarms_at_1_percent": [
                        a.found.true_alarms.value,
                        a.found.true_alarms.low,
                        a.found.true_alarms.high,
                    ],
                }
                for a in self.attacks
            ],
            "inversion": [
                {"seen": i.seen, "cosine": i.inside, "cosine_others": i.outside}
                for i in self.inversions
            ],
            "seconds": self.seconds,
        }


def red_team(
    study: Study,
    folder: Path,
    data: Path | None,
    out: Path,
    console: Console,
    make: MakeTrainer = Trainer,
    chances: Chances | None = None,
) -> Findings:
    """Attacks a study's trainer; writes ``redteam.json`` and ``redteam.html``.

    Raises:
        StudyRefused: the study claims nothing that this attacker tests.
        CohortRefused: the records are missing or do not fit.
        WorkspaceRefused: the output folder cannot be written.
    """
    from collegium.redteam_page import page, summarise
    from compliance.renderers import render_html, render_json

    privacy = study.privacy
    if not isinstance(privacy, LocalPrivacy):
        raise StudyRefused(
            f"privacy.mode is {privacy.mode}: the red team tests what a hospital's own noise "
            "promises; declare mode local"
        )
    Settings(data=data).require_sources(study)
    hospitals = read_hospitals(study, folder, data)
    prepare(out)
    console.print(
        "The attacker plays one hospital's trainer, in this process. On real patients' records "
        "the page is for that hospital's own eyes."
    )
    findings = attack(study, hospitals, console, make, chances or Chances())
    document = page(findings)
    (out / "redteam.json").write_text(render_json(document), encoding="utf-8")
    (out / "redteam.html").write_text(render_html(document), encoding="utf-8")
    summarise(findings, out, console)
    return findings


def attack(
    study: Study,
    hospitals: dict[str, tuple[Records, Records]],
    console: Console,
    make: MakeTrainer,
    chances: Chances,
) -> Findings:
    """Runs all four parts; ``hospitals`` holds each site's training and test records."""
    assert_local(study)
    seconds: dict[str, float] = {}
    with _timed("pricing the plan", "plan", seconds, console):
        plan = PrivacyPlan.of(study, assert_local(study))
    z = plan.training.noise_multiplier
    with _timed(
        "noise: zero gradients in, is what comes out as promised?", "noise", seconds, console
    ):
        checks = conformance(study, z, make, chances, attempt=0)
        retested = not all(check.passed for check in checks)
        if retested:
            console.print("    a check failed: testing again with fresh noise")
            checks = conformance(study, z, make, chances, attempt=1)
    with _timed("audit in one run: can canaries be told in or out?", "audit", seconds, console):
        audit = one_run_audit(study, plan, make, chances)
    site = max(hospitals, key=lambda name: hospitals[name][0].num_patients)
    with _timed("membership: who was a training patient?", "membership", seconds, console):
        attacks = membership(study, z, site, hospitals[site], make, chances, console)
    with _timed("inversion: can a record be read from an update?", "inversion", seconds, console):
        inversions = inversion(study, z, site, hospitals, make, chances)
    return Findings(
        study=study,
        plan=plan,
        site=site,
        conformance=checks,
        retested=retested,
        audit=audit,
        attacks=attacks,
        inversions=inversions,
        seconds=seconds,
    )


# ---------------------------------------------------------------- the noise itself


def conformance(
    study: Study, z: float, make: MakeTrainer, chances: Chances, attempt: int
) -> tuple[Check, ...]:
    """Hands zero gradients to the trainer and examines what it releases.

    Each release is one step of rate 1 without momentum, so that a release is
    the step's noise; a second bench takes the study's own local steps.
    """
    plain = _varied(study, local_steps=1, momentum=0.0, learning_rate=1.0)
    benches = [_Bench(plain, site, z, make, chances, attempt) for site in study.site_names[:2]]
    size = benches[0].size
    count = max(8, min(_MOST_RELEASES, math.ceil(_COORDINATES / size)))
    released, sizes = zip(
        *(benches[number % 2].release(number) for number in range(count)), strict=True
    )
    raw = np.stack(released)
    noise, sigma = np.rint(np.nan_to_num(raw)).astype(np.int64), benches[0].sigma
    checks = [
        check_variance(noise, sigma),
        check_shape(noise, sigma),
        check_whole_numbers(raw),
        check_residues(noise, sigma),
        check_independence(noise, sigma),
        check_sampling(np.array(sizes), _BENCH_PATIENTS, study.privacy.sampling_rate),
        _check_empty(plain, z, make, chances, attempt, count),
    ]
    if study.training.local_steps > 1:
        checks.append(_check_round(study, z, make, chances, attempt, count))
    return tuple(checks)


def _check_empty(
    plain: Study, z: float, make: MakeTrainer, chances: Chances, attempt: int, count: int
) -> Check:
    rare = plain.model_copy(
        update={"privacy": plain.privacy.model_copy(update={"sampling_rate": _EMPTY_RATE})}
    )
    bench = _Bench(rare, plain.site_names[0], z, make, chances, attempt)
    rounds = range(count, count + max(4, count // 5))
    raw = np.stack([bench.release(number)[0] for number in rounds])
    return check_variance(raw, bench.sigma, name="noise of empty batches")


def _check_round(
    study: Study, z: float, make: MakeTrainer, chances: Chances, attempt: int, count: int
) -> Check:
    """A round's update is a weighted sum of its steps: common noise would make it wider."""
    steps = min(study.training.local_steps, _MOST_LOCAL_STEPS)
    momentum = study.training.momentum
    own = _varied(study, local_steps=steps, momentum=momentum, learning_rate=1.0)
    bench = _Bench(own, study.site_names[0], z, make, chances, attempt)
    weights = _step_weights(steps, momentum)
    sigma = bench.sigma * math.sqrt(sum(weight * weight for weight in weights))
    rounds = range(2 * count, 2 * count + max(4, count // steps))
    raw = np.stack([bench.release(number)[0] for number in rounds])
    return check_variance(raw, sigma, name=f"independence of a round's {steps} steps")


def _step_weights(steps: int, momentum: float) -> list[float]:
    """Returns how much each step's gradient moves the round's parameters."""
    return [sum(momentum**later for later in range(steps - step)) for step in range(steps)]


class _Bench:
    """A trainer of one site with zero gradients, and what it releases in integer units."""

    def __init__(
        self, study: Study, site: str, z: float, make: MakeTrainer, chances: Chances, attempt: int
    ) -> None:
        trainer, model = _canary_trainer(study, site, _BENCH_PATIENTS, make)
        self._model: Tensors = {name: np.zeros_like(tensor) for name, tensor in model.items()}
        self._trainer, self._z, self._chances, self._attempt = trainer, z, chances, attempt
        self.size = flatten(model).size
        self._gradients = ChosenGradients(
            lambda numbers: np.zeros((len(numbers), self.size), dtype=np.float32)
        )
        trainer._gradients = self._gradients
        units = units_for(self.size)
        expected = study.privacy.sampling_rate * _BENCH_PATIENTS
        self._unit = assert_local(study).clip / units / expected
        self.sigma = z * units

    def release(self, number: int) -> tuple[Floats, int]:
        """Returns one round's noise in integer units, and how many patients it sampled."""
        before = self._gradients.num_seen
        update = self._trainer.update(
            self._model, number, self._attempt, self._z, self._chances.entropy
        )
        return -update / self._unit, self._gradients.num_seen - before


# ---------------------------------------------------------------- the audit in one run


def one_run_audit(study: Study, plan: PrivacyPlan, make: MakeTrainer, chances: Chances) -> Audit:
    """Bounds epsilon from below with 95 % confidence; an excess is tested again."""
    size = layout_of(build_model(study)).size
    training = study.training
    steps = min(training.local_steps, _MOST_LOCAL_STEPS)
    most = _AUDIT_WORK / (_CANARIES * size * steps)
    rounds = max(1, min(training.rounds, int(most)))
    canaries = max(100, min(_CANARIES, int(_CANARIES * most)))
    delta = min(plan.delta, _AUDIT_DELTA)
    event = replace(plan.training, steps=rounds * steps)
    claim = epsilon(event, delta)
    shorter = _varied(study, rounds=rounds, local_steps=steps)

    def run(number: int, alpha: float) -> OneRun:
        scores, inside = canary_scores(shorter, event, canaries, make, chances, number)
        return guess(scores, inside, int(_GUESSED * canaries), delta, alpha)

    runs, contradicted = audit_in_runs(run, claim, runs=_RUNS, alpha=_LEVEL)
    return Audit(
        runs=tuple(runs), claim=claim, delta=delta, steps=event.steps, contradicted=contradicted
    )


def canary_scores(
    study: Study,
    event: SampledGaussian,
    canaries: int,
    make: MakeTrainer,
    chances: Chances,
    attempt: int,
) -> tuple[Floats, NDArray[np.bool_]]:
    """Returns each canary's score over all rounds' updates, and what its coin said.

    A canary that is out is a patient who contributes nothing: the adjacency
    that the claim is about. The public patient count stays.
    """
    site = study.site_names[0]
    trainer, model = _canary_trainer(study, site, canaries, make)
    coins = chances.entropy.stream(
        Moment(
            use="coins",
            study=study.digest,
            site=site,
            purpose="audit",
            round=0,
            attempt=attempt,
            step=0,
            dataset=trainer.dataset_digest,
            model="",
            sample="",
        )  # fmt: skip
    )
    inside = (coins.words(canaries, np.uint64) & np.uint64(1)).astype(np.bool_)
    size, clip = flatten(model).size, assert_local(study).clip
    directions = Directions(inside, size, chances.random)
    trainer._gradients = ChosenGradients(lambda numbers: directions.gradients(numbers, clip))
    privacy, training, z = assert_local(study), study.training, event.noise_multiplier
    weights = _step_weights(training.local_steps, training.momentum)
    expected = privacy.sampling_rate * canaries
    # A canary that is in moves a round's update by this much, on average.
    length = training.learning_rate * clip * sum(weights) * privacy.sampling_rate / expected
    for number in range(training.rounds):
        update = trainer.update(model, number, attempt, z, chances.entropy)
        directions.observe(-update / length)
        directions.turn()
    spread = sum(weight * weight for weight in weights)
    noise_variance = spread * (z / sum(weights) / privacy.sampling_rate) ** 2
    return directions.estimates(noise_variance), inside


# ---------------------------------------------------------------- membership


def membership(
    study: Study,
    z: float,
    site: str,
    hospital: tuple[Records, Records],
    make: MakeTrainer,
    chances: Chances,
    console: Console,
) -> tuple[Attack, ...]:
    """Attacks models trained far too long, as in the study without noise, and as in the study.

    The first is a control: where even that gives nothing, the attack has no teeth.
    """
    pool = _pool(hospital, chances.random)
    small = isinstance(study.cohort, TableCohort) and study.training.steps <= _LIRA_STEPS
    name, score = ("LiRA", lira) if small else ("RMIA", rmia)
    models = _LIRA_MODELS if small else _RMIA_MODELS
    members = halves(models, pool.num_patients, chances.random)
    labels = np.zeros(pool.num_patients)
    np.maximum.at(labels, pool.patients, pool.labels)
    steps = min(study.training.local_steps, _MOST_STEPS)
    rounds = max(1, min(study.training.rounds, _MOST_STEPS // steps))
    own = _varied(study, rounds=rounds, local_steps=steps)
    bare = own.with_epsilon(None)

    def control(records: Records) -> Floats:
        module = overtrained(
            lambda: build(study.task, study.cohort, study.seeds.model), records, _OVERTRAINING
        )
        return patient_logits(module, pool)

    def trained(planned: Study, noise: float | None) -> Callable[[Records], Floats]:
        def logits(records: Records) -> Floats:
            trainer = make(planned, site, records, pool)
            model = trained_model(trainer, planned, noise, chances)
            return trainer.patient_scores(model)[0]

        return logits

    ways: list[tuple[str, int, Callable[[Records], Floats]]] = [
        ("control: trained far too long, no noise", _OVERTRAINING, control),
        ("as in the study, but without clipping and noise", rounds * steps, trained(bare, None)),
        ("as in the study", rounds * steps, trained(own, z)),
    ]
    attacks = []
    for training, taken, logits in ways:
        sure = np.zeros((models, pool.num_patients))
        for number, who in enumerate(members):
            with np.errstate(over="ignore", invalid="ignore"):
                sure[number] = np.nan_to_num(
                    margins(logits(pool.take(who[pool.patients])), labels), posinf=1e6, neginf=-1e6
                )
        found = measure(name, score(sure, members), members, chances.random)
        attacks.append(Attack(training=training, steps=taken, found=found))
        console.print(f"    {models} models: {training}", markup=False)
    return tuple(attacks)


def trained_model(trainer: Trainer, study: Study, noise: float | None, chances: Chances) -> Tensors:
    """Returns the model that this hospital alone would train: the attacker's best case."""
    model: Tensors = trainer.initial_model()
    layout = layout_of(model)
    for number in range(study.training.rounds):
        update = trainer.update(model, number, 0, noise, chances.entropy)
        model = unflatten(layout, flatten(model).astype(np.float64) + update)
    return model


def _pool(hospital: tuple[Records, Records], random: np.random.Generator) -> Records:
    """Returns at most 128 of a hospital's patients, training and test together."""
    train, test = hospital
    both = Records(
        features=np.concatenate([train.features, test.features]),
        labels=np.concatenate([train.labels, test.labels]),
        patients=np.concatenate([train.patients, test.patients + train.num_patients]),
        patient_keys=train.patient_keys + test.patient_keys,
        rows=np.concatenate([train.rows, test.rows]),
    )
    kept = random.permutation(both.num_patients) < _POOL
    return both.take(kept[both.patients])


# ---------------------------------------------------------------- inversion


def inversion(
    study: Study,
    z: float,
    site: str,
    hospitals: dict[str, tuple[Records, Records]],
    make: MakeTrainer,
    chances: Chances,
) -> tuple[Inversion, ...]:
    """Reads records from updates, from the easiest case to what really leaves a hospital.

    Empty when the network does not begin with a linear layer. Every patient is
    in the batch, which is the attacker's best case.
    """
    module = build(study.task, study.cohort, study.seeds.model)
    cohort = study.cohort
    layer = first_layer(module, cohort.width) if isinstance(cohort, TableCohort) else None
    if layer is None:
        return ()
    full = _varied(study, local_steps=1, momentum=0.0, learning_rate=1.0)
    full = full.model_copy(
        update={"privacy": full.privacy.model_copy(update={"sampling_rate": 1.0})}
    )
    model = build_model(study)
    layout = layout_of(model)

    def read(name: str, records: Records, noise: float | None, number: int = 0) -> Floats:
        trainer = make(full, name, records, records)
        update = trainer.update(model, number, 0, noise, chances.entropy)
        return recover(update, layout, layer)

    train, test = hospitals[site]
    inside, outside = _equally_many(train, test, chances.random)
    chosen = chances.random.permutation(train.num_patients)[:_DRAWS]
    found: dict[str, list[tuple[float, float]]] = {}

    def note(seen: str, recovered: Floats, true: NDArray[np.float32]) -> None:
        others = outside if len(true) > 1 else outside[:1]
        pair = best_match(recovered, true), best_match(recovered, others)
        found.setdefault(seen, []).append(pair)

    for patient in chosen:
        single = train.take(train.patients == patient)
        note("one patient's update, bare", read(site, single, None), single.features[:1])
        note(
            "one patient's update, noised", read(site, single, z, int(patient)), single.features[:1]
        )
    note("one hospital's sum, bare", read(site, train, None), inside)
    total = _sum_of_hospitals(full, hospitals, make, model, chances)
    note("all hospitals' sum, bare", recover(total, layout, layer), inside)
    for number in range(_DRAWS // 4):
        note("one hospital's update, noised", read(site, train, z, number), inside)
    return tuple(
        Inversion(
            seen=seen,
            inside=float(np.mean([pair[0] for pair in pairs])),
            outside=float(np.mean([pair[1] for pair in pairs])),
        )
        for seen, pairs in found.items()
    )


def _sum_of_hospitals(
    study: Study,
    hospitals: dict[str, tuple[Records, Records]],
    make: MakeTrainer,
    model: Tensors,
    chances: Chances,
) -> Floats:
    parts = [
        study.weights[name]
        * make(study, name, train, train).update(model, 0, 0, None, chances.entropy)
        for name, (train, _) in hospitals.items()
    ]
    return np.asarray(np.sum(parts, axis=0))


def _equally_many(
    train: Records, test: Records, random: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns equally many records of both, so that the best of either is as lucky."""
    number = max(1, min(len(train), len(test)))
    others = test.features if len(test) else random.normal(size=train.features.shape)
    return (
        train.features[random.permutation(len(train))[:number]],
        others[random.permutation(len(others))[:number]].astype(np.float32),
    )


# ---------------------------------------------------------------- what all parts need


def build_model(study: Study) -> Tensors:
    """Returns the parameters that the study's seed gives."""
    from pipelines.networks import parameters_of

    return parameters_of(build(study.task, study.cohort, study.seeds.model))


def assert_local(study: Study) -> LocalPrivacy:
    """Returns the study's privacy, which must be mode local."""
    if not isinstance(study.privacy, LocalPrivacy):
        raise ValueError("the red team attacks studies of mode local")
    return study.privacy


def prepare(out: Path) -> None:
    """Makes the output folder.

    Raises:
        WorkspaceRefused: it is a file, or cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "redteam.html").touch()
    except FileExistsError as error:
        raise WorkspaceRefused(f"--out {out} is a file: name a folder") from error
    except OSError as error:
        raise WorkspaceRefused(f"--out {out} cannot be written: {error.strerror}") from error


def read_hospitals(
    study: Study, folder: Path, data: Path | None
) -> dict[str, tuple[Records, Records]]:
    """Returns every site's training and test records, checked as the hospitals would.

    Raises:
        CohortRefused: the records do not fit the contract.
        StudyRefused: the split's index file cannot be read.
    """
    keep, index = columns_to_keep(study.split, study.deal), index_file(study, folder)

    def load(named: str, site: str) -> Records:
        source = named if named == BUNDLED or data is None else data / named
        return load_cohort(study.cohort, source, site=site, keep=keep)

    if study.deal is not None:
        dealt = deal(load(study.deal.records, "all"), study.deal, study.sites)
    else:
        dealt = {site.name: load(site.records or "", site.name) for site in study.sites}
    hospitals = {}
    for site, records in dealt.items():
        key = simulated_split_key(study, site)
        train, test = split(records, study.split, key=key, site=site, index_file=index)
        delta = assert_local(study).delta
        check_cohort(train, test, study.cohort, site=site, delta=delta)
        hospitals[site] = (train, test)
    return hospitals


def _canary_trainer(
    study: Study, site: str, count: int, make: MakeTrainer
) -> tuple[Trainer, Tensors]:
    cohort = study.cohort
    shape = (cohort.width,) if isinstance(cohort, TableCohort) else (1, *cohort.image.shape)
    records = canary_records(count, shape)
    trainer = make(study, site, records, records)
    return trainer, trainer.initial_model()


def _varied(study: Study, **training: object) -> Study:
    """Returns the study with other training settings; what privacy rests on stays."""
    return study.model_copy(update={"training": study.training.model_copy(update=training)})


@contextmanager
def _timed(what: str, key: str, seconds: dict[str, float], console: Console) -> Iterator[None]:
    console.print(f"  {what}", markup=False)
    begun = time.monotonic()
    yield
    seconds[key] = round(time.monotonic() - begun, 1)
    console.print(f"    took {seconds[key]:.1f} s", markup=False)
