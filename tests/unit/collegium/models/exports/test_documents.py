"""The model card and the inventory of an export: complete, in form, and only of what is known."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import referencing
from referencing.jsonschema import DRAFT7

from collegium.models.exports.documents.mlbom import ml_bom
from collegium.models.exports.documents.model_card import model_card
from collegium.models.exports.released import ReleasedModel, released_model
from compliance.estimates.interval import Interval
from compliance.facts.dossier import ATTACK_FIGURES, RedTeamFacts, read_red_team
from tests.support.simulated.preregistered import preregistered
from tests.support.simulated.red_team_findings import findings

#: Where ``make test`` unpacks the package of ``tests/support/data.lock`` that ships the schemas.
_SCHEMAS = Path(sys.prefix, "share", "test-data", "cyclonedx", "schema", "_res")
_BOM, *_OTHERS = (
    "bom-1.6.SNAPSHOT.schema.json", "spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json",
)  # fmt: skip


@pytest.fixture(scope="module")
def released(two_runs: Path) -> ReleasedModel:
    return released_model(two_runs, "run-1")


def _require_cyclonedx(bom: dict[str, Any]) -> None:
    """Raises where an inventory is none by the published schema."""
    if not (_SCHEMAS / _BOM).is_file():
        pytest.skip("make test installs the schemas of tests/support/data.lock")
    schemas = {name: json.loads((_SCHEMAS / name).read_bytes()) for name in (_BOM, *_OTHERS)}
    registry: Any = referencing.Registry().with_resources(
        (f"http://cyclonedx.org/schema/{name}", DRAFT7.create_resource(schemas[name]))
        for name in _OTHERS
    )
    checker = jsonschema.Draft7Validator.FORMAT_CHECKER
    validator = jsonschema.Draft7Validator(schemas[_BOM], registry=registry, format_checker=checker)
    validator.validate(bom)


def test_the_inventory_is_cyclonedx_1_6(released: ReleasedModel, plain_export: Path) -> None:
    bom = json.loads((plain_export / "mlbom.json").read_bytes())
    _require_cyclonedx(bom)
    broken = bom | {"components": [{"type": "no such type", "name": "x"}]}
    with pytest.raises(jsonschema.ValidationError):
        _require_cyclonedx(broken)


def test_it_names_model_records_software_and_forms(released: ReleasedModel) -> None:
    environment = {"torch": "2.13.0", "python": "3.11", "torch in the process": "no"}
    found = replace(released, dossier=replace(released.dossier, environment=environment))
    bom = ml_bom(found, {"models/model.pt": "11" * 32, "model.safetensors": "22" * 32})
    _require_cyclonedx(bom)
    model = bom["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    assert model["licenses"] == [{"license": {"name": "CC-BY-NC-4.0"}}]
    assert model["hashes"] == [{"alg": "SHA-256", "content": "22" * 32}]
    card = model["modelCard"]
    assert card["considerations"]["useCases"] == ["Research on hospitals that do not exist."]
    records = [one["name"] for one in bom["components"] if one["type"] == "data"]
    assert records == [f"records of {site}" for site in ("east", "north", "south", "west")]
    names = [one["name"] for one in bom["components"] if one["type"] == "library"]
    assert names == ["torch"]  # neither the interpreter nor a remark
    assert [one["name"] for one in bom["components"] if one["type"] == "file"] == [
        "models/model.pt"
    ]


def test_it_gives_released_figures_with_their_intervals(released: ReleasedModel) -> None:
    figure = Interval(value=0.8, low=0.7, high=0.9)
    found = replace(released, dossier=replace(released.dossier, released={"auroc": figure}))
    metrics = ml_bom(found, {})["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]
    (auroc,) = [one for one in metrics["performanceMetrics"] if one["type"] == "auroc"]
    assert auroc["value"] == "0.8"
    assert auroc["confidenceInterval"] == {"lowerBound": "0.7", "upperBound": "0.9"}


def test_the_card_says_use_privacy_figures_attacks_limits_and_forms(
    released: ReleasedModel,
) -> None:
    attack = RedTeamFacts(
        run_id="run-1", contradicted=True, reasons=("a canary was found",),
        found_at="2026-03-04T05:06:07.000Z",
    )  # fmt: skip
    fidelity = {"onnx": {"files": ["models/model.onnx"], "largest_difference": 6e-8}}
    card = model_card(
        replace(released, red_team=(attack,)), fidelity, {"bundle": "MONAI has no such network"}
    )
    assert "Research on hospitals that do not exist." in card
    assert released.snapshot.digest in card and released.dossier.claim in card
    assert "| east | patient |" in card
    assert "| All test patients | all |" in card and "| Hospital | east |" in card
    assert "the claim is contradicted: a canary was found" in card
    assert "drawn records" not in card
    assert "nothing could be said: too few patients for the noise" in card
    assert "largest difference from the model on reference inputs 6e-08" in card
    assert "bundle: left out: MONAI has no such network" in card
    assert "This model comes from a simulation." in card


def test_the_card_gives_figures_of_attacks_with_intervals_or_says_why_they_are_missing(
    released: ReleasedModel,
) -> None:
    said = findings(advantage=0.02, exposure=0.1, stand_in=True, missing={"inserted": "few"})
    del said["extraction"]["inserted"]
    attack = read_red_team("run-1", "2026-03-04T05:06:07.000Z", said)
    card = model_card(replace(released, red_team=(attack,)), {}, {})
    assert "Membership: advantage of the attacker: 0.020 (-0.030 to 0.070)" in card
    assert "guessing gives 0; LiRA on 256 patients" in card
    assert "Extraction: inserted records, bits beyond guessing: missing: few" in card
    assert "so its own model was not attacked" in card
    without = model_card(released, {}, {})
    assert without.count("missing: no red team has attacked this run") == len(ATTACK_FIGURES)


def test_the_card_says_what_is_read_of_a_patient_what_is_predicted_and_where_it_decides(
    released: ReleasedModel,
) -> None:
    card = model_card(released, {}, {})
    told = card.partition("## Inputs and outcome")[2].partition("## Identity")[0]
    assert all(f"* {one.name}: " in told for one in released.study.cohort.features)
    assert "* Outcome: " in told
    task = released.study.task.model_copy(update={"threshold": 0.1})
    study = released.study.model_copy(update={"task": task})
    card = model_card(replace(released, study=study), {}, {})
    assert "above -2.197, a risk of 0.1, is positive" in card and "above 0 is" not in card


def test_the_card_names_withheld_figures_as_its_tables_do(released: ReleasedModel) -> None:
    hidden = Interval(value=None, low=0.0, high=1.0)
    dossier = replace(released.dossier, released={"calibration_slope": hidden, "auprc": hidden})
    card = model_card(replace(released, dossier=dossier), {}, {})
    assert "Of AUPRC, calibration slope nothing could be said" in card


def test_the_card_shows_no_exact_figure_and_no_foreign_markup(released: ReleasedModel) -> None:
    assert "No red team has attacked this run" in model_card(released, {}, {})
    title = "A | <script>alert(1)</script> [x](http://x)"
    dossier = replace(released.dossier, study_title=title, exact={"auroc": 0.98765})
    card = model_card(replace(released, dossier=dossier), {}, {})
    assert "<script>" not in card and "0.98765" not in card and "0.988" not in card
    assert card.startswith("# A \\| &lt;script&gt;")


def test_the_card_says_what_came_of_a_preregistration(released: ReleasedModel) -> None:
    assert "Preregistration" not in model_card(released, {}, {})
    section = preregistered().model_dump(mode="json")["preregistration"]
    dossier = replace(released.dossier, study=released.dossier.study | {"preregistration": section})
    card = model_card(replace(released, dossier=dossier), {}, {})
    assert "## Preregistration" in card and "Primary hypothesis discriminates:" in card
    assert "| auroc | AUROC at least 0.6, by its 95 % interval |" in card
    assert "Deviation, found in the records" in card
