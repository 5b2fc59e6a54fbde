"""Benchmarks without data: patients that nobody is, in hospitals that differ in one known way.

What differs is named as in Li et al. 2022, ICDE (NIID-Bench), section IV, and Kairouz et al. 2021,
section 3.1: prevalence, measurement, size, or what the measurements mean. A generator with the
seed draws all of it; the same arguments give the same files.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from ruamel.yaml import YAML

from protocol.errors import StudyRefused, WorkspaceRefused
from protocol.study.study import nearest
from protocol.study.study_file import read_study

Floats: TypeAlias = NDArray[np.float64]
#: Numbers that are measured of a patient, and how strongly they tell the ill from the others.
MEASURED, _SIGNAL = 8, 1.5
#: No hospital has fewer patients, however sizes differ.
FEWEST = 40
_TESTED = 0.3  # of every hospital's patients


@dataclass(frozen=True, kw_only=True)
class DrawnHospital:
    """One hospital's patients, as they are drawn.

    Attributes:
        patients: how many there are.
        odds: the log-odds of being ill that are added to everybody's.
        gain, offset: (MEASURED,), what its apparatus makes of a true value.
        weights: (MEASURED,), what the true values say of the illness.
    """

    patients: int
    odds: float
    gain: Floats
    offset: Floats
    weights: Floats


@dataclass(frozen=True, kw_only=True)
class SyntheticOptions:
    """The benchmark that is asked for.

    Attributes:
        kind: a key of ``KINDS``.
        hospitals, patients: how many, and of a hospital in the mean.
        strength: how far hospitals differ; 0 not at all, 1 as much as the page says.
        epsilon: of each patient; None without privacy.
        seed: of everything that is drawn.
    """

    kind: str
    hospitals: int = 6
    patients: int = 200
    strength: float = 1.0
    epsilon: float | None = None
    seed: int = 1


def _alike(options: SyntheticOptions, _random: np.random.Generator) -> list[DrawnHospital]:
    common = np.resize([1.0, -1.0], MEASURED) * _SIGNAL / MEASURED**0.5
    plain = DrawnHospital(
        patients=options.patients, odds=0.0, gain=np.ones(MEASURED), offset=np.zeros(MEASURED),
        weights=common,
    )  # fmt: skip
    return [plain] * options.hospitals


def _each(
    change: Callable[[DrawnHospital, float, np.random.Generator], dict[str, Any]],
) -> Callable[[SyntheticOptions, np.random.Generator], list[DrawnHospital]]:
    """Returns the kind in which every hospital is changed from what all others are."""

    def hospitals(options: SyntheticOptions, random: np.random.Generator) -> list[DrawnHospital]:
        alike = _alike(options, random)
        return [
            DrawnHospital(**(vars(one) | change(one, options.strength, random))) for one in alike
        ]

    return hospitals


def _prevalence(
    _one: DrawnHospital, strength: float, random: np.random.Generator
) -> dict[str, Any]:
    return {"odds": 1.5 * strength * random.normal()}


def _measurement(
    _one: DrawnHospital, strength: float, random: np.random.Generator
) -> dict[str, Any]:
    return {
        "gain": np.exp(0.5 * strength * random.normal(size=MEASURED)),
        "offset": strength * random.normal(size=MEASURED),
    }


def _size(one: DrawnHospital, strength: float, random: np.random.Generator) -> dict[str, Any]:
    drawn = one.patients * np.exp(strength * random.normal() - strength**2 / 2)
    return {"patients": max(FEWEST, round(drawn))}


def _meaning(one: DrawnHospital, strength: float, random: np.random.Generator) -> dict[str, Any]:
    own = random.normal(size=MEASURED) * _SIGNAL / MEASURED**0.5
    return {"weights": one.weights + strength * own}


#: What hospitals differ in, by the name of the benchmark.
KINDS: Mapping[str, Callable[[SyntheticOptions, np.random.Generator], list[DrawnHospital]]] = {
    "alike": _alike,
    "label-skew": _each(_prevalence),
    "feature-shift": _each(_measurement),
    "quantity-skew": _each(_size),
    "concept-shift": _each(_meaning),
}
_DIFFER = {
    "alike": "in nothing",
    "label-skew": "in the share of patients who are ill",
    "feature-shift": "in what their apparatus makes of a true value",
    "quantity-skew": "in how many patients they have",
    "concept-shift": "in what the measurements say of the illness",
}


def write_synthetic(options: SyntheticOptions, to: Path, console: Console) -> dict[str, Any]:
    """Writes ``study.yaml`` and one CSV for each hospital to a new folder; says what to do next.

    Raises:
        StudyRefused: there is no such benchmark, or none of this size.
        WorkspaceRefused: the folder holds files already, or cannot be written.
    """
    files = synthetic_files(options)
    try:
        to.mkdir(parents=True, exist_ok=True)
        if any(to.iterdir()):
            raise WorkspaceRefused(f"{to} holds files already: name a new folder")
        for name, text in files.items():
            (to / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise WorkspaceRefused(f"{to} cannot be written: {error.strerror}") from error
    study = read_study(files["study.yaml"], str(to / "study.yaml"))
    console.print(
        f"made   {to / 'study.yaml'}: {study.title}\nrecords: drawn with seed {options.seed}; they "
        f"are nobody's\nnext: collegium compare {to / 'study.yaml'} --strategies "
        f"fedavg,scaffold,mrmtl --data {to} --out {to}-compared",
        markup=False,
        soft_wrap=True,
    )
    return {
        "study": str(to / "study.yaml"),
        "name": study.name,
        "patients": {site.name: site.patients for site in study.sites},
    }


def synthetic_files(options: SyntheticOptions) -> dict[str, str]:
    """Returns the study and the hospitals' records, by the name of their file.

    Raises:
        StudyRefused: there is no such benchmark, or none of this size.
    """
    if options.kind not in KINDS:
        hint = nearest(options.kind, list(KINDS))
        raise StudyRefused(f"no {options.kind!r} is among {', '.join(KINDS)}{hint}")
    if options.hospitals < 3 or options.patients < FEWEST or not 0 <= options.strength <= 10:
        raise StudyRefused(
            f"a benchmark has 3 hospitals or more, {FEWEST} patients in each or more, and a "
            "strength from 0 to 10"
        )
    random = np.random.default_rng(options.seed)
    drawn = {
        f"site-{place}": _patients(hospital, random)
        for place, hospital in enumerate(KINDS[options.kind](options, random), start=1)
    }
    trained = {site: sum(row[-1] == "train" for row in rows) for site, rows in drawn.items()}
    head = ",".join(["patient", *_names(), "outcome", "part"])
    files = {
        f"{site}.csv": "\n".join([head, *(",".join(row) for row in rows)]) + "\n"
        for site, rows in drawn.items()
    }
    return {"study.yaml": _study(options, trained)} | files


def _names() -> list[str]:
    return [f"measurement_{place}" for place in range(1, MEASURED + 1)]


def _patients(hospital: DrawnHospital, random: np.random.Generator) -> list[list[str]]:
    """Returns a hospital's rows; both outcomes stand among those trained on and those tested."""
    count, tested = hospital.patients, round(_TESTED * hospital.patients)
    while True:
        true = random.normal(size=(count, MEASURED))
        risk = 1 / (1 + np.exp(-(true @ hospital.weights + hospital.odds)))
        ill = random.random(count) < risk
        if all(0 < part.sum() < len(part) for part in (ill[:tested], ill[tested:])):
            break
    seen = np.clip(true * hospital.gain + hospital.offset, -10, 10)
    return [
        [
            str(place + 1),
            *(f"{value:.4f}" for value in seen[place]),
            str(int(ill[place])),
            "test" if place < tested else "train",
        ]
        for place in range(count)
    ]


def _study(options: SyntheticOptions, trained: Mapping[str, int]) -> str:
    sites = options.hospitals
    document = {
        "collegium": 1,
        "name": f"synthetic-{options.kind}",
        "title": f"Synthetic patients in {sites} hospitals that differ {_DIFFER[options.kind]}",
        "purpose": "Compare strategies without data: these patients are nobody's.",
        "cohort": {
            "kind": "table",
            "patient_key": "patient",
            "min_patients": 10,
            "columns": [
                {"name": "patient", "kind": "other"},
                *(
                    {"name": name, "kind": "number", "range": [-10, 10], "centre": 0, "scale": 1}
                    for name in _names()
                ),
                {"name": "outcome", "kind": "other"},
                {"name": "part", "kind": "other"},
            ],
            "label": {"column": "outcome", "positive": [1], "negative": [0]},
        },
        "sites": [
            {"name": site, "patients": count, "records": f"{site}.csv"}
            for site, count in trained.items()
        ],
        "split": {"method": "column", "column": "part", "train": ["train"], "test": ["test"]},
        "task": {"network": {"_target_": "FullyConnectedNet", "hidden_channels": []}},
        "training": {"rounds": 20, "local_steps": 5, "learning_rate": 0.5, "micro_batch": 64},
        "privacy": _privacy(options.epsilon),
        "aggregation": {"threshold": (sites + 1) // 2 + 1, "colluders": 1},
        "evaluation": {"bins": 16},
    }
    text = io.StringIO()
    yaml = YAML()
    yaml.width, yaml.default_flow_style = 100, None  # the innermost on one line
    yaml.dump(document, text)
    strength, epsilon = f"--strength {options.strength:g}", options.epsilon
    more = "" if epsilon is None else f" --epsilon {epsilon:g}"
    return (
        f"# Written by: collegium study synthetic {options.kind} --hospitals {sites} "
        f"--patients {options.patients}\n#   {strength} --seed {options.seed}{more}\n"
        f"{text.getvalue()}"
    )


def _privacy(epsilon: float | None) -> dict[str, Any]:
    if epsilon is None:
        return {"mode": "none", "sampling_rate": 1.0}
    return {
        "mode": "per_site", "unit": "patient", "epsilon": epsilon, "delta": 1e-4, "clip": 1.0,
        "sampling_rate": 1.0,
    }  # fmt: skip
