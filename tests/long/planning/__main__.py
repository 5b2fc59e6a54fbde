"""``python -m tests.long.planning --data DIR [--repeats R] [--drawings D] [--only TEXT]``."""

import argparse
import itertools
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.progress import track

from compliance.planning.advice import Mode, PlanningInput, SuitableSettings, advise
from tests.long.planning.cohorts import (
    CHOSEN_ON,
    HELD_OUT,
    PUBLISHED,
    SOURCES,
    Cohort,
    Drawn,
    cohorts,
    draw,
)
from tests.long.planning.descent import Settings, aurocs, descend

EPSILONS, DELTA = (0.5, 1.0, 3.0), 1e-6
MODES: tuple[Mode, ...] = ("per_site", "distributed")
#: Steps, clip over R (the gradient's norm), and learning rate x clip x R x sqrt(steps).
GRID = tuple(itertools.product((5, 20, 60), (0.15, 0.5, 1.0), (0.5, 2.0, 8.0, 32.0)))


@dataclass(frozen=True, kw_only=True)
class Row:
    """One cohort, epsilon and mode: the mean AUROCs over drawings and repeats.

    ``advised`` is reached by who names about what published models reach, ``unknown`` by
    who names nothing.
    """

    cohort: Cohort
    epsilon: float
    mode: Mode
    plan: SuitableSettings
    advised: float
    unknown: float
    best: float
    settings: tuple[int, float, float]
    without: float
    forecast: float


def question(cohort: Cohort, drawn: Drawn, epsilon: float) -> PlanningInput:
    """Returns what a consortium would ask that names nothing: counts, prevalence and inputs."""
    each = len(drawn.train) // cohort.sites
    return PlanningInput(
        patients=(each,) * cohort.sites, epsilon=epsilon, delta=DELTA,
        gradient_norm=math.sqrt(drawn.train.shape[1] + 1), prevalence=float(drawn.train_ill.mean()),
    )  # fmt: skip


def rows(cohort: Cohort, data: Path, drawings: int, repeats: int) -> Iterator[Row]:
    """Yields the cohort's rows; all drawings are tried with the same settings."""
    records, ill = SOURCES[cohort.source](data)
    seed = zlib.crc32(repr(cohort).encode())
    all_drawn = [draw(cohort, records, ill, seed + place) for place in range(drawings)]
    random = np.random.default_rng(seed)
    free = Settings(steps=400, clip=1e9, learning_rate=0.5, noise=0.0)
    without = float(np.mean([_reached(one, [free], 1, random) for one in all_drawn]))
    for epsilon in EPSILONS:
        for mode in MODES:
            unknown = question(cohort, all_drawn[0], epsilon)
            asked = replace(unknown, auroc=PUBLISHED[cohort.source])
            plan = advise(asked, mode)
            settings = [_settings(asked, plan, choice) for choice in GRID]
            settings += [_as_settings(plan), _as_settings(advise(unknown, mode))]
            found = np.mean([_reached(one, settings, repeats, random) for one in all_drawn], axis=0)
            best = int(np.argmax(found[: len(GRID)]))
            yield Row(
                cohort=cohort, epsilon=epsilon, mode=mode, plan=plan, advised=float(found[-2]),
                unknown=float(found[-1]),
                best=float(found[best]), settings=GRID[best], without=without,
                forecast=plan.expected.auroc if plan.expected else math.nan,
            )  # fmt: skip


def _settings(
    asked: PlanningInput, plan: SuitableSettings, choice: tuple[int, float, float]
) -> Settings:
    """A point of the grid with the noise that keeps the same epsilon over its own steps."""
    steps, share, size = choice
    clip = share * asked.gradient_norm
    paid = (steps + asked.spare) / plan.event.steps
    return Settings(
        steps=steps, clip=clip,
        learning_rate=size / (clip * asked.gradient_norm * math.sqrt(steps)),
        noise=plan.noise * math.sqrt(paid),
    )  # fmt: skip


def _as_settings(plan: SuitableSettings) -> Settings:
    return Settings(
        steps=plan.steps, clip=plan.clip, learning_rate=plan.learning_rate, noise=plan.noise
    )


def _reached(
    drawn: Drawn, settings: list[Settings], repeats: int, random: np.random.Generator
) -> np.ndarray:
    prevalence = float(drawn.train_ill.mean())
    weights = descend(
        drawn.train, drawn.train_ill, settings, start=math.log(prevalence / (1 - prevalence)),
        repeats=repeats, random=random,
    )  # fmt: skip
    return aurocs(weights, drawn).reshape(len(settings), repeats).mean(axis=1)


def table(found: list[Row]) -> str:
    """Returns the rows as Markdown, two modes to a line."""
    lines = [
        "| cohort | n | ill | sites | no privacy | ε | per site: advised | best of 36 | "
        "shared: advised | best of 36 |",
        "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for own, shared in zip(found[::2], found[1::2], strict=True):
        c = own.cohort
        lines.append(
            f"| {c.source} | {c.patients} | {c.prevalence:.0%} | {c.sites} | {own.without:.3f} | "
            f"{own.epsilon:g} | {own.advised:.3f} | {own.best:.3f} | {shared.advised:.3f} | "
            f"{shared.best:.3f} |"
        )
    return "\n".join(lines)


def summary(found: list[Row]) -> str:
    """Returns how close the advice comes, in a sentence or two."""
    close, named_nothing = (
        float(np.mean([getattr(row, name) >= row.best - 0.02 for row in found]))
        for name in ("advised", "unknown")
    )
    behind = np.array([row.best - row.advised for row in found])
    missed = np.array([abs(row.forecast - row.advised) for row in found])
    return (
        f"{len(found)} plans: {close:.0%} within 0.02 of the best of the grid, {named_nothing:.0%} "
        f"where nobody names an AUROC; behind it by {behind.mean():.3f} in the mean and "
        f"{behind.max():.3f} at the worst; the lowest AUROC is "
        f"{min(row.advised for row in found):.3f}. The forecast AUROC is off by "
        f"{missed.mean():.3f} in the mean."
    )


def main() -> None:
    """Measures and prints both tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.long.planning", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--drawings", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--only", default="", help="sources that hold this text")
    asked = parser.parse_args()
    for title, kinds in (("Twenty cohorts", CHOSEN_ON), ("Held out", HELD_OUT)):
        wanted = [c for c in cohorts(kinds) if asked.only in c.source]
        found = [
            row
            for cohort in track(wanted, description=title)
            for row in rows(cohort, asked.data, asked.drawings, asked.repeats)
        ]
        print(f"\n### {title}\n\n{summary(found)}\n\n{table(found)}")


if __name__ == "__main__":
    main()
