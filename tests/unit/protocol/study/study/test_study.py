"""The Study keeps its rules whoever builds it, and its digest names it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from protocol.errors import StudyRefused
from protocol.study.cohort.cohort import Cohort, ImageCohort, TableCohort
from protocol.study.privacy import NoPrivacy, PerSitePrivacy
from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.study.variants import question, settings
from tests import ROOT
from tests.support.simulated.studies import changed, small_study


def test_the_digest_does_not_depend_on_how_the_document_is_written() -> None:
    spaced = changed("clip: 1.0", "clip:    1")
    assert read_study(spaced).digest == small_study().digest


def test_any_change_makes_another_study() -> None:
    assert read_study(changed("clip: 1.0", "clip: 1.01")).digest != small_study().digest


def test_canonical_bytes_read_back_to_the_same_study() -> None:
    study = small_study()
    assert Study.model_validate_json(study.canonical_bytes).digest == study.digest


def test_a_study_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        small_study().name = "other"  # type: ignore[misc]


def test_another_seed_is_another_study_that_differs_in_the_seed_only() -> None:
    study = small_study()
    other = study.with_seed(9)
    assert other.digest != study.digest
    assert other.with_seed(study.seeds.model) == study


def test_another_epsilon_drops_the_noise_that_belonged_to_the_old_one() -> None:
    study = read_study(changed("clip: 1.0", "clip: 1.0, noise_multiplier: 50"))
    privacy = study.with_epsilon(2.0).privacy
    assert isinstance(privacy, PerSitePrivacy)
    assert (privacy.epsilon, privacy.noise_multiplier) == (2.0, None)
    assert isinstance(study.with_epsilon(None).privacy, NoPrivacy)


@given(st.integers(3, 100))
def test_the_default_threshold_obeys_the_rule_for_every_size(n: int) -> None:
    sites = [{"name": f"s{place}", "patients": 40} for place in range(n)]
    document = small_study().model_dump() | {"sites": sites, "partition": None}
    document["aggregation"] = {"colluders": 1 if n < 5 else 2}
    study = Study.model_validate(document)
    assert 2 * study.threshold > n + study.aggregation.colluders


def test_a_sum_that_could_wrap_is_refused() -> None:
    wide = {"aggregation": {"bound": 1e9, "frac_bits": 30, "threshold": 3}}
    Study.model_validate(small_study().model_dump() | wide)
    with pytest.raises(ValidationError, match="less than or equal to 1000000000"):
        Study.model_validate(small_study().model_dump() | {"aggregation": {"bound": 1e13}})


def test_weights_are_the_declared_patients() -> None:
    study = read_study(changed("east.csv, patients: 40", "east.csv, patients: 20"))
    assert study.weights == {"east": 20.0, "north": 40.0, "south": 40.0, "west": 40.0}
    assert study.expected_batch("east") == 20.0


def test_studies_of_equal_settings_differ_by_names_seeds_and_epsilons_alone() -> None:
    study = small_study()
    alike = study.with_epsilon(0.5).with_seed(99).replaced(name="another", title="Another")
    longer = changed("rounds: 2", "rounds: 3")
    assert settings(alike) == settings(study) and alike.digest != study.digest
    assert settings(read_study(longer)) != settings(study)
    assert question(read_study(longer)) == question(study)


@pytest.mark.parametrize("mode", ["per_site", "distributed", "none"])
def test_every_site_declares_its_patients_in_every_mode(mode: str) -> None:
    text = changed("east.csv, patients: 40", "east.csv")
    privacy, shared = "mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0", "strategy: fedsgd, "
    if mode == "none":
        text = text.replace(privacy, "mode: none")
    if mode == "distributed":
        text = text.replace(privacy, f"{privacy.replace('per_site', mode)}, noise_multiplier: 4")
        text = text.replace("local_steps: 2, ", "local_steps: 1, " + shared)
    with pytest.raises(StudyRefused, match="patients.*required and missing"):
        read_study(text)


def test_the_schema_for_editors_is_the_one_in_docs() -> None:
    stored = json.loads((ROOT / "docs" / "study.schema.json").read_text())
    fresh = json.loads(json.dumps(Study.model_json_schema()))
    assert stored["properties"] == fresh["properties"]
    assert stored["$defs"] == fresh["$defs"]


def test_every_example_is_a_valid_study() -> None:
    documents = sorted(ROOT.glob("examples/*/*.yaml"))
    examples = [path for path in documents if "\ncollegium: 1\n" in path.read_text()]
    assert len(examples) >= 3
    for path in examples:
        assert read_study(path.read_text(), source=path.name).collegium == 1


def test_the_document_in_docs_is_a_valid_study() -> None:
    text = (ROOT / "docs" / "study.md").read_text()
    document = text.split("```yaml\n")[1].split("```")[0]
    assert read_study(document).name == "readmission"


def test_digest_of_a_changed_copy_is_its_own() -> None:
    study = small_study()
    before = study.digest, study.weights_digest, study.privacy_digest("training")
    other = study.model_copy(update={"title": "Another"})
    longer = study.model_copy(update={"training": study.training.model_copy(update={"rounds": 9})})
    assert other.digest != before[0] and longer.digest != before[0]
    assert longer.privacy_digest("training") != before[2]
    assert small_study() == study and small_study().digest == before[0]
    assert study.model_copy() == study


@pytest.mark.parametrize("kind", [TableCohort, ImageCohort])
def test_what_every_cohort_must_say_is_asked_when_it_is_made(kind: type[Cohort]) -> None:
    common = kind.__mro__[1]
    with pytest.raises(TypeError, match="abstract methods features, input_forms"):
        common(patient_key="row", label={"positive": [1], "negative": [0]})


@pytest.mark.parametrize("epsilon", ["0", "-1", "1e-300", "1e308", ".inf", ".nan"])
@pytest.mark.parametrize("place", ["epsilon: 4, delta", "bins: 8"])
def test_an_epsilon_that_no_noise_keeps_or_that_needs_none_is_refused(
    epsilon: str, place: str
) -> None:
    new = f"epsilon: {epsilon}, delta" if "delta" in place else f"bins: 8, epsilon: {epsilon}"
    with pytest.raises(StudyRefused, match="epsilon"):
        read_study(changed(place, new))
