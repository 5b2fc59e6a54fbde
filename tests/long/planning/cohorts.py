"""Cohorts drawn from real records, encoded with centres and scales from general knowledge."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer

Floats = NDArray[np.float32]
_HEART = "age sex cp trestbps chol fbs restecg thalach exang oldpeak slope ca thal num".split()
#: Column, centre, scale, and the most that is counted.
_DIABETES = (
    ("time_in_hospital", 4, 3, 14), ("num_lab_procedures", 40, 20, 150),
    ("num_procedures", 1, 2, 6), ("num_medications", 15, 10, 60),
    ("number_outpatient", 0, 2, 4), ("number_emergency", 0, 2, 4),
    ("number_inpatient", 0, 2, 6), ("number_diagnoses", 8, 2, 16),
)  # fmt: skip
_DIABETES_WORDS = (
    "age", "discharge_disposition_id", "admission_type_id", "A1Cresult", "insulin", "diabetesMed",
    "change", "gender",
)  # fmt: skip
_WORDS = 7  # of each column, after the most frequent


#: What a consortium would know: about the AUROC that published models reach.
PUBLISHED = {
    "heart disease": 0.87,
    "breast cancer": 0.99,
    "PneumoniaMNIST": 0.95,
    "diabetes130": 0.63,
    "TCGA-BRCA": 0.75,
}


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """The patients to be drawn, and how many hospitals share them."""

    source: str
    patients: int
    prevalence: float
    sites: int


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """One drawing, split: (patients, inputs) records and (patients,) labels."""

    train: Floats
    train_ill: Floats
    test: Floats
    test_ill: Floats


def _heart(data: Path) -> tuple[Floats, Floats]:
    tables = [
        pd.read_csv(
            data / "heart_disease" / f"processed.{city}.data", header=None, names=_HEART,
            na_values="?",
        )
        for city in ("cleveland", "hungarian", "switzerland", "va")
    ]  # fmt: skip
    all_of = pd.concat(tables).drop(columns=["slope", "ca", "thal"]).dropna()
    scaled = (("age", 50, 10), ("trestbps", 130, 20), ("chol", 200, 100), ("thalach", 150, 25),
              ("oldpeak", 1, 1), ("sex", 0, 1), ("fbs", 0, 1), ("exang", 0, 1))  # fmt: skip
    columns = [(all_of[name] - centre) / scale for name, centre, scale in scaled]
    columns += [all_of.cp == kind for kind in (2, 3, 4)] + [all_of.restecg == k for k in (1, 2)]
    return _matrix(columns), (all_of.num > 0).to_numpy(np.float32)


def _breast(_: Path) -> tuple[Floats, Floats]:
    found = load_breast_cancer()
    low, high = found.data.min(0), found.data.max(0)  # the declared ranges of the bundled study
    scaled = (found.data - low - 0.3 * (high - low)) / (0.2 * (high - low))
    return scaled.astype(np.float32), (found.target == 0).astype(np.float32)


def _pneumonia(data: Path) -> tuple[Floats, Floats]:
    """Sixteen numbers an image: the mean grey of each square of seven pixels a side."""
    with np.load(data / "pneumoniamnist" / "dev_train_val.npz", allow_pickle=False) as stored:
        images = np.concatenate([stored[k] for k in stored.files if "image" in k])
        labels = np.concatenate([stored[k] for k in stored.files if "label" in k])
    squares = images.astype(np.float32).reshape(-1, 4, 7, 4, 7).mean(axis=(2, 4)).reshape(-1, 16)
    return (squares - 128) / 64, labels.reshape(-1).astype(np.float32)


def _diabetes(data: Path) -> tuple[Floats, Floats]:
    """Each patient's first stay; ill means back in hospital within 30 days."""
    with zipfile.ZipFile(data / "diabetes130" / "dataset_diabetes.zip") as packed:
        name = next(n for n in packed.namelist() if n.endswith("diabetic_data.csv"))
        stays = pd.read_csv(io.BytesIO(packed.read(name)), low_memory=False)
    stays = stays.drop_duplicates("patient_nbr")
    columns = [(np.minimum(stays[name], top) - at) / by for name, at, by, top in _DIABETES]
    for name in _DIABETES_WORDS:
        words = stays[name].astype(str)
        columns += [words == word for word in words.value_counts().index[1 : _WORDS + 1]]
    return _matrix(columns), (stays.readmitted == "<30").to_numpy(np.float32)


def _tcga(data: Path) -> tuple[Floats, Floats]:
    """Deaths of women with breast cancer, by clinical findings: used for no constant."""
    table = pd.read_csv(data / "tcga_brca" / "brca.csv")
    findings = table.iloc[:, 2:-2].to_numpy(np.float32)
    age = (table.age_at_index.to_numpy(np.float32) - 60) / 15
    return np.column_stack([age, findings]), table.iloc[:, -2].to_numpy(np.float32)


def _matrix(columns: list[pd.Series]) -> Floats:
    return np.column_stack([np.asarray(column, dtype=np.float32) for column in columns])


SOURCES = {
    "heart disease": _heart,
    "breast cancer": _breast,
    "PneumoniaMNIST": _pneumonia,
    "diabetes130": _diabetes,
    "TCGA-BRCA": _tcga,
}
_H, _B, _P, _D = "heart disease", "breast cancer", "PneumoniaMNIST", "diabetes130"
_T = "TCGA-BRCA"
#: The constants of ``compliance.planning.advice`` were chosen on other drawings of these.
CHOSEN_ON = (
    (_H, 740, 0.5, 3), (_H, 740, 0.3, 4), (_H, 400, 0.2, 5), (_H, 300, 0.4, 6),
    (_B, 569, 0.37, 8), (_B, 380, 0.1, 3), (_B, 300, 0.3, 4),
    (_P, 5000, 0.5, 5), (_P, 2000, 0.5, 6), (_P, 2000, 0.2, 8), (_P, 1000, 0.1, 3),
    (_P, 1000, 0.05, 4), (_P, 500, 0.3, 5),
    (_D, 5000, 0.11, 6), (_D, 2200, 0.09, 8), (_D, 3000, 0.3, 3), (_D, 5000, 0.05, 4),
    (_D, 1000, 0.5, 5), (_D, 4000, 0.2, 6), (_D, 600, 0.25, 8),
)  # fmt: skip
#: Nothing was chosen on these.
HELD_OUT = (
    (_H, 500, 0.35, 3), (_B, 450, 0.2, 4), (_P, 3000, 0.3, 8), (_P, 700, 0.15, 5),
    (_D, 3500, 0.15, 4), (_D, 1500, 0.4, 6), (_T, 1000, 0.1, 6), (_T, 300, 0.3, 3),
)  # fmt: skip


def cohorts(kinds: tuple[tuple[str, int, float, int], ...]) -> list[Cohort]:
    """Returns cohorts of (source, patients, prevalence, hospitals)."""
    return [Cohort(source=s, patients=n, prevalence=p, sites=k) for s, n, p, k in kinds]


def draw(cohort: Cohort, records: Floats, ill: Floats, seed: int) -> Drawn:
    """Returns patients drawn without repeats; fewer where the source has not so many."""
    random = np.random.default_rng(seed)
    places = {kind: np.flatnonzero(ill == kind) for kind in (0.0, 1.0)}
    positives = min(round(cohort.patients * cohort.prevalence), len(places[1.0]))
    negatives = min(cohort.patients - round(cohort.patients * cohort.prevalence), len(places[0.0]))
    positives = min(positives, round(negatives * cohort.prevalence / (1 - cohort.prevalence)))
    train, test = [], []
    for kind, count in ((0.0, negatives), (1.0, positives)):
        chosen = random.permutation(places[kind])[:count]
        held = max(2, round(0.3 * count))
        test.append(chosen[:held])
        train.append(chosen[held:])
    parts = [random.permutation(np.concatenate(part)) for part in (train, test)]
    return Drawn(
        train=records[parts[0]],
        train_ill=ill[parts[0]],
        test=records[parts[1]],
        test_ill=ill[parts[1]],
    )
