"""A run of every kind of task: trained, released, reported, and verified from what is kept."""

import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_wine
from sklearn.utils import Bunch

from compliance.estimates.withholding import too_few
from compliance.facts.dossier import Dossier, run_json
from compliance.reports.one_run.run_page import run_page
from compliance.reports.renderers import render_html
from coordinator.views.views import open_views
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.vectors.tensors import decode_tensors
from silos.training.trainer import Trainer
from tests.support.machine.short_form import short_form
from tests.support.simulated.federation import Federation
from tests.support.simulated.reports import privacy_report

STUDY = """\
collegium: 1
name: {name}
title: A study of another task
purpose: To be tested.
cohort:
  kind: table
  patient_key: row
  label: {label}
  columns:
{columns}
    - {{name: target, kind: other}}
sites:
  - {{name: east, records: east.csv, patients: 150}}
  - {{name: north, records: north.csv, patients: 150}}
  - {{name: south, records: south.csv, patients: 150}}
  - {{name: west, records: west.csv, patients: 150}}
split: {{method: keyed_hash, test_fraction: 0.4}}
task: {{kind: {kind}, network: {{_target_: FullyConnectedNet, hidden_channels: []}}{more}}}
training: {{rounds: 3, local_steps: 20, learning_rate: 0.2, micro_batch: 64}}
privacy: {privacy}
aggregation: {{threshold: 3, colluders: 1}}
seeds: {{model: 1, split: 1}}
"""
NONE = "{mode: none, sampling_rate: 1.0}"
PRIVATE = "{mode: per_site, epsilon: 8, delta: 1e-3, clip: 1.0, sampling_rate: 1.0}"
TASKS = {
    "multiclass_classification": (
        load_wine,
        "{column: target, classes: {first: [0], second: [1], third: [2]}}",
    ),
    "regression": (
        lambda **options: load_diabetes(scaled=False, **options),
        "{column: target, range: [25, 346], centre: 152, scale: 77}",
    ),
}


SURVIVAL = ", times: [1, 2, 4, 6], event_free: [0.8, 0.65, 0.45, 0.35]"
#: What a task's section says beside its kind and network, and columns that are no features.
MORE = {
    "multiclass_classification": ", confidence: true",
    "survival": SURVIVAL,
    "survival-cox": SURVIVAL + ", loss: cox",
}
OTHERS = {"survival": ("died",), "survival-cox": ("died",)}


def patients_who_die(*, as_frame: bool) -> Bunch:
    """Returns 400 drawn patients: two findings, years observed, and whether they died then."""
    random = np.random.default_rng(8)
    one, two = random.normal(size=(2, 400))
    years = random.exponential(4 * np.exp(-one - 0.5 * two))
    last = random.uniform(1, 8, 400)
    died = years < last
    frame = pd.DataFrame({"one": one, "two": two, "died": died.astype(int)})
    return Bunch(frame=frame.assign(target=np.minimum(years, last).round(3)))


TASKS |= {
    kind: (
        patients_who_die,
        "{column: target, event: died, occurred: [1], censored: [0], range: [0, 10]}",
    )
    for kind in OTHERS
}


def study_of(kind: str, privacy: str) -> Study:
    load, label = TASKS[kind]
    frame = load(as_frame=True).frame
    unused = {"target", *OTHERS.get(kind, ())}
    columns = [f"    - {{name: {name}, kind: other}}" for name in OTHERS.get(kind, ())]
    columns += [
        f"    - {{name: {name!r}, kind: number, range: [{values.min() - 1:.6g}, "
        f"{values.max() + 1:.6g}], centre: {values.mean():.6g}, scale: {values.std():.6g}}}"
        for name, values in frame.drop(columns=list(unused)).items()
    ]
    text = STUDY.format(
        name=kind,
        kind=kind.removesuffix("-cox"),
        more=MORE.get(kind, ""),
        label=label,
        columns="\n".join(columns),
        privacy=privacy,
    )
    return read_study(text)


def write(folder: Path, study: Study) -> None:
    frame = TASKS[study.name][0](as_frame=True).frame
    order = np.random.default_rng(0).permutation(len(frame))
    for place, site in enumerate(study.site_names):
        frame.iloc[order[place::4]].to_csv(folder / f"{site}.csv", index=False)


#: How well each is learned at least.
LEAST = {
    "multiclass_classification": ("accuracy", 0.9),
    "regression": ("r2", 0.4),
    "survival": ("c_index", 0.7),
    "survival-cox": ("c_index", 0.7),
}
#: How close a released figure is to the exact one: bins and intervals hide some pairs' order.
CLOSE = {"survival": 0.03, "survival-cox": 0.03}


def ran(folder: Path, kind: str, privacy: str) -> tuple[Federation, Dossier]:
    federation = Federation(folder, study_of(kind, privacy), trainer=Trainer, write=write)
    federation.run()
    with closing(open_views(federation.workspace.root)) as views:
        return federation, views.dossier(federation.run_id)


def exact(federation: Federation) -> dict[str, float | None]:
    """The exact figures of all hospitals' test patients together, as a simulation has them."""
    from pipelines.tasks.registry import task_of

    study = federation.study
    (name,) = (federation.workspace.root / "snapshots").glob("*.safetensors")
    model = decode_tensors(name.read_bytes())
    each = [
        silo.simulated_part(federation.run_id).patient_scores(model)
        for silo in federation.silos.values()
    ]
    scores, labels = (np.concatenate(part) for part in zip(*each, strict=True))
    return dict(task_of(study.task, study.cohort).exact(scores, labels))


@pytest.mark.parametrize("kind", short_form(TASKS, 2))
def test_without_privacy_a_task_is_learned_and_its_figures_are_exact(
    kind: str, tmp_path: Path
) -> None:
    federation, dossier = ran(tmp_path, kind, NONE)
    found = exact(federation)
    for figure in dossier.figures.pooled:
        released = dossier.released[figure.name]
        near = CLOSE.get(kind, 0.01)
        if figure.name == "ece":  # too few wines are named wrongly
            assert released.note == too_few(0.0) and found["accuracy"] > 0.9
            continue
        assert released.value == pytest.approx(found[figure.name], rel=near)
        assert released.low <= released.value <= released.high
    name, enough = LEAST[kind]
    assert dossier.released[name].value > enough
    federation.close()


@pytest.mark.parametrize(
    "kind", short_form([kind for kind in TASKS if not kind.endswith("-cox")], 2)
)
def test_with_privacy_a_run_is_reported_and_verified(kind: str, tmp_path: Path) -> None:
    federation, dossier = ran(tmp_path, kind, PRIVATE)
    said = run_json(dossier)
    for figure in dossier.figures.pooled:
        assert set(said[f"{figure.name}_released"]) == {"value", "low", "high", "note"}
    assert dossier.protected and json.dumps(said)
    assert ("ece_released" in said) == ("confidence" in MORE.get(kind, ""))
    report, page = (render_html(one) for one in (privacy_report(dossier), run_page(dossier, ())))
    figures = dossier.figures
    assert all(f"{figure.label}, released" in report for figure in figures.pooled)
    assert f"{figures.headline.label}, released" in page and "AUROC" not in report + page
    assert federation.recomputed(federation.study.training.rounds, "evaluation").figures
    federation.close()


SEGMENTATION = """\
collegium: 1
name: segmentation
title: Discs in small images
purpose: To be tested.
cohort:
  kind: images
  patient_key: row
  label: {mask: masks, classes: {background: [0], disc: [1]}}
  image: {shape: [16, 16], range: [-4, 5], centre: 0.5, scale: 0.5}
  parts: [train, test]
sites:
  - {name: east, records: east.npz, patients: 12}
  - {name: north, records: north.npz, patients: 12}
  - {name: west, records: west.npz, patients: 12}
split: {method: column, column: part, train: [train], test: [test]}
task:
  kind: segmentation
  network: {_target_: UNet, channels: [4, 8], strides: [2], kernel_size: 3}
training: {rounds: 2, local_steps: 15, learning_rate: 0.3, micro_batch: 4, momentum: 0.5}
privacy: PRIVACY
aggregation: {threshold: 3, colluders: 1}
"""


def write_discs(folder: Path, study: Study) -> None:
    """Writes a file of images with a disc for each hospital, of another noise in each."""
    rows, columns = np.mgrid[:16, :16]
    for place, site in enumerate(study.site_names):
        random, arrays = np.random.default_rng(place), {}
        for part, count in (("train", 12), ("test", 10)):
            middles, radii = random.uniform(4, 12, (count, 2)), random.uniform(2, 4, count)
            masks = np.array([
                (rows - middle[0]) ** 2 + (columns - middle[1]) ** 2 < radius**2
                for middle, radius in zip(middles, radii, strict=True)
            ])  # fmt: skip
            noise = random.normal(0, 0.1 * (place + 1), masks.shape)
            arrays |= {f"{part}_masks": masks.astype(np.uint8), f"{part}_images": masks + noise}
        np.savez(folder / f"{site}.npz", **arrays)


def test_masks_are_learned_by_three_hospitals_and_their_dice_is_released(tmp_path: Path) -> None:
    text = SEGMENTATION.replace("kind: segmentation\n", "kind: segmentation\n  distances: true\n")
    study = read_study(text.replace("PRIVACY", NONE))
    federation = Federation(tmp_path, study, trainer=Trainer, write=write_discs)
    federation.run()
    with closing(open_views(federation.workspace.root)) as views:
        dossier = views.dossier(federation.run_id)
    released = dossier.released["dice"]
    assert released.value == pytest.approx(exact(federation)["dice"], abs=0.01)
    assert released.low <= released.value <= released.high and released.value > 0.8
    (disc,) = dossier.outcomes
    assert disc.figures["dice"] == released and 0 < disc.figures["hausdorff"].value < 5
    shares = [disc.figures[f"dice_below_{border}"].value for border in (0.5, 0.7, 0.9)]
    assert shares == sorted(shares) and 0 < shares[2] < 1
    page = render_html(privacy_report(dossier))
    assert "Dice, released" in page and "Hausdorff distance (95th percentile), pixels" in page
    federation.close()


def test_masks_with_privacy_are_trained_and_released_or_withheld(tmp_path: Path) -> None:
    study = read_study(SEGMENTATION.replace("PRIVACY", PRIVATE))
    federation = Federation(tmp_path, study, trainer=Trainer, write=write_discs)
    federation.run()
    with closing(open_views(federation.workspace.root)) as views:
        dossier = views.dossier(federation.run_id)
    assert dossier.protected and set(run_json(dossier)["dice_released"]) >= {"value", "note"}
    federation.close()
