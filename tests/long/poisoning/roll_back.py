"""One poisoned hospital of nine, with and without interim evaluations that take rounds back."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from compliance.ledger.privacy_plan import PrivacyPlan
from coordinator.rounds.evaluation.released import Released
from coordinator.rounds.means import round_mean, summed
from coordinator.rounds.run_course import course_with
from coordinator.rounds.site_tables import figures_of
from pipelines.records import Records
from protocol.study.rounds.course import Course, goes_on_from
from protocol.study.strategies.server_state import begun, model_of, next_state
from protocol.study.strategies.strategy import ServerState
from protocol.study.study import Study
from protocol.vectors.fixed_point import encode_counts
from protocol.vectors.tensors import Tensors, layout_of, model_digest
from silos.training.counting.evaluation_counts import noised_counts
from silos.training.randomness import FixedEntropy, RoundInput
from silos.training.trainer import Trainer
from tests.long.poisoning.attacks import ATTACKS, Attack
from tests.long.poisoning.cohorts import COHORTS, NAMES, Cohort
from tests.long.poisoning.table import NOISES, SEEDS, WORKERS, cohort_of, studies_of
from tests.long.poisoning.training import contribution_of, exact_auroc

#: After how many rounds the runs are evaluated, and how much worse a figure may be.
EVERY, WORSE = 5, 0.1
BINS = 16
#: The rounds are those of the cohort's other tables, times this: a course needs some.
LONGER = 2
#: From which part of the rounds on the hospital is poisoned.
STARTS: Mapping[str, float] = {"the first round": 0.0, "half of the rounds": 0.5}
#: The attacks that are measured, beside none.
WANTED = (
    "sign flipped, ten times the update",
    "sign flipped, as long as the check lets pass",
    "labels flipped, ten times the update",
)


@dataclass(frozen=True, kw_only=True)
class Done:
    """The end of one run: the final model's AUROC on all test patients, and how often it went back.

    ``released`` are the AUROCs that its evaluations released, None where one was withheld.
    """

    auroc: float
    taken_back: int
    released: tuple[float | None, ...]


def longer(study: Study) -> Study:
    """Returns the study with more rounds, evaluated at its end alone, in more bins.

    Of a model whose scores lie in few bins no figure is released, and nothing is taken back.
    """
    rounds = study.training.rounds * LONGER
    return study.replaced(
        training=study.training.model_copy(update={"rounds": rounds}),
        evaluation=study.evaluation.model_copy(update={"bins": BINS}),
    )


def taking_back(study: Study) -> Study:
    """Returns the study with interim evaluations that take rounds back."""
    update = {"every": EVERY, "roll_back": WORSE}
    return study.replaced(evaluation=study.evaluation.model_copy(update=update))


def partitioned_tests(cohort: Cohort, seed: int) -> dict[str, Records]:
    """Returns the test patients parted among the nine, as many to each as can be."""
    count = cohort.test.num_patients
    owner = np.random.default_rng([seed, 1]).permutation(count) % len(NAMES)
    return {
        name: cohort.test.take((owner == place)[cohort.test.patients])
        for place, name in enumerate(NAMES)
    }


def ran(cohort: Cohort, study: Study, attack: str, start: float, seed: int) -> Done:
    """Returns the end of a run in the clear: the sums are those of ring elements without masks.

    The seed deals the patients, says which hospital is poisoned, and draws the noise.
    """
    entropy = FixedEntropy(seed, simulated=True)
    attacks = {} if attack == "none" else {NAMES[seed % len(NAMES)]: ATTACKS[attack]}
    first = round(start * study.training.rounds)
    tests, training = partitioned_tests(cohort, seed), study.training
    honest = {
        site: Trainer(study, site, own, tests[site])
        for site, own in cohort.partitioned(seed).items()
    }
    poisoned = {
        site: Trainer(study, site, attacks[site].records(own), tests[site])
        for site, own in cohort.partitioned(seed).items()
        if site in attacks
    }
    plans = {site: PrivacyPlan.at(study, site) for site in honest}
    initial = next(iter(honest.values())).initial_model()
    layout, state = layout_of(initial), begun(training, initial)
    course: Course | None = None
    states: dict[int, ServerState] = {}
    back = 0
    released: list[float | None] = []
    for number in range(training.rounds + 1):
        evaluated = study.evaluations.number_after(number)
        if evaluated is not None and study.evaluation.roll_back is not None:
            model = model_of(training, layout, state)
            found = evaluation_of(study, honest, plans, model, evaluated, entropy)
            course = course_with(study, course, number, model_digest(model), found)
            states[number] = state
            goes_on = goes_on_from(study, course).rounds
            back += goes_on != number
            released.append(found.figures["auroc"].value)
            state = ServerState(parameters=states[goes_on].parameters, rounds=number)
        if number == training.rounds:
            break
        model = model_of(training, layout, state)
        trainers = {**honest, **poisoned} if number >= first else honest
        now = attacks if number >= first else {}

        def contribution(
            site: str,
            model: Tensors = model,
            number: int = number,
            trainers: Mapping[str, Trainer] = trainers,
            now: Mapping[str, Attack] = now,
        ) -> NDArray[np.unsignedinteger]:
            plan = plans[site]
            noise = plan.training.noise_multiplier if plan else None
            given = RoundInput(model=model, number=number, noise_multiplier=noise)
            return contribution_of(study, trainers[site], now.get(site), given, entropy)

        sums = summed(study, number, trainers, contribution)
        state = next_state(training, state, round_mean(study, model, number, sums).mean)
    return Done(
        auroc=exact_auroc(cohort, study, model_of(training, layout, state)),
        taken_back=back,
        released=tuple(released),
    )


def evaluation_of(
    study: Study, trainers: Mapping[str, Trainer], plans: Mapping[str, PrivacyPlan | None],
    model: Tensors, number: int, entropy: FixedEntropy,
) -> Released:  # fmt: skip
    """Returns what an evaluation of all hospitals releases, from their noised counts."""
    noise, totals, tables = {}, [], {}
    size = study.evaluation_vector.size
    for site, trainer in trainers.items():
        plan = plans[site]
        noise[site] = plan.evaluation.noise_multiplier if plan else None
        given = RoundInput(model=model, number=number, noise_multiplier=noise[site])
        counts = noised_counts(study, site, trainer, given, entropy)
        totals.append(encode_counts(counts[:size]))
        tables[site] = tuple(map(int, counts[size:]))
    signed = {site: SimpleNamespace(evaluation_noise_multiplier=one) for site, one in noise.items()}
    total = np.sum(totals, axis=0, dtype=totals[0].dtype)
    return figures_of(study, signed, total, tables)  # type: ignore[arg-type]


def row(name: str, noise: str, attack: str, start: str) -> str:
    """Returns a line of a cohort's table."""
    cohort = cohort_of(name)
    plain = longer(studies_of(cohort, noise)[0])
    cells, back = [], 0.0
    for study in (plain, taking_back(plain)):
        found = [ran(cohort, study, attack, STARTS[start], seed) for seed in range(SEEDS)]
        values = [one.auroc for one in found]
        cells.append(f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}")
        back = float(np.mean([one.taken_back for one in found]))
    where = "" if attack == "none" else start
    return f"| {noise} | {attack} | {where} | {cells[0]} | {cells[1]} | {back:.1f} |"


def lines() -> Iterator[str]:
    """Yields the tables, heading by heading."""
    first, *_ = STARTS
    wanted = [("none", first), *((attack, start) for attack in WANTED for start in STARTS)]
    with ProcessPoolExecutor(max_workers=WORKERS, mp_context=get_context("spawn")) as pool:
        for name in COHORTS:
            jobs = [pool.submit(row, name, noise, *one) for noise in NOISES for one in wanted]
            yield f"\n{name}\n"
            yield from (job.result() for job in jobs)
