"""Each rule of a site's policy, on the small study: allowed as it is, refused when it breaks it."""

from datetime import UTC, datetime

import pytest

from protocol.study.study import Study
from protocol.study.study_file import read_study
from protocol.study.task.recipes import RecipePackage
from silos.config.policy import Refusal, columns_read, open_at, refusals
from silos.config.site_file import Resources, read_site_file
from tests.support.hospital.recipes import study_with
from tests.support.hospital.sites import changed_site, east
from tests.support.simulated.studies import changed, small_study

IMAGES = """\
collegium: 1
name: scans
title: Scans
purpose: To be tested.
cohort:
  kind: images
  patient_key: row
  label: {positive: [1], negative: [0]}
  image: {shape: [28, 28], range: [0, 255], centre: 128, scale: 64}
sites: [{name: east, patients: 40}, {name: north, patients: 40}, {name: south, patients: 40}]
split: {method: column, column: part, train: [train], test: [test]}
task: {network: {_target_: Classifier, channels: [4], strides: [2]}}
training: {rounds: 2, local_steps: 2, learning_rate: 0.5}
privacy: {mode: per_site, epsilon: 1, delta: 1e-5, sampling_rate: 0.1}
"""


def against(study: Study | str, old: str = "", new: str = "") -> dict[str, Refusal]:
    """What east, with one line of its site file changed, has against a study; by key."""
    site = read_site_file(changed_site(old, new)) if old else east()
    plan = read_study(study) if isinstance(study, str) else study
    return {refusal.where: refusal for refusal in refusals(site.policy, plan, site="east")}


def test_a_study_within_the_policy_is_allowed() -> None:
    assert against(small_study()) == {}


BREACHES = [
    (changed("name: south", "name: other").replace("name: east", "name: mine"), "name",
     "the study names mine, north, other, west, not east"),
    (changed("To be tested", "To be sold"), "policy.purposes", "none of the allowed phrases"),
    (changed("keyed_hash, test_fraction: 0.3", "column, column: ward, train: [A], test: [B]")
     .replace("name: ward, kind: category, values: [A, B, C]", "name: ward, kind: other"),
     "policy.splits", "split method column is not allowed (allowed: keyed_hash)"),
    (changed("  columns:", "  columns:\n    - {name: zip, kind: number, range: [0, 9]}"),
     "policy.columns", "reads columns that are not allowed: zip"),
    (changed("min_patients: 4", "min_patients: 4").replace("patients: 40", "patients: 10", 1),
     "policy.patients", "counts on 10 of our patients, fewer than 20"),
    (changed("colluders: 1", "colluders: 0"), "policy.colluders",
     "hidden while at most 0 hospitals collude with the coordinator, fewer than 1"),
    (changed("epsilon: 4", "epsilon: 5"), "policy.epsilon_at_most", "epsilon 5, more than 4"),
    (changed("{bins: 8}", "{bins: 8, epsilon: 6}"), "policy.epsilon_at_most", "epsilon 6"),
    (changed("delta: 1e-3", "delta: 2e-3"), "policy.delta_at_most", "delta is 0.002, more than"),
    (changed("epsilon: 4", "unit: record, epsilon: 4"), "policy.units", "protects each record"),
    (changed("mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0", "mode: none"), "policy.modes",
     "the study has no differential privacy"),
    (changed("per_site, epsilon: 4", "distributed, noise_multiplier: 9, epsilon: 4")
     .replace("local_steps: 2", "strategy: fedsgd, local_steps: 1"),
     "policy.modes", "privacy mode distributed is not allowed (allowed: per_site)"),
    (changed("records: east.csv", "records: 'bundled:breast-cancer-wisconsin'"), "always",
     "bundled records stand in for hospitals"),
    (changed("keyed_hash, test_fraction: 0.3", "file, file: split.csv"), "always",
     "does not say which index file splits the patients"),
]  # fmt: skip


@pytest.mark.parametrize(("study", "where", "said"), BREACHES, ids=[b[2] for b in BREACHES])
def test_a_breach_is_refused_with_its_key_and_a_remedy(study: str, where: str, said: str) -> None:
    refusal = against(study)[where]
    assert said in refusal.what
    assert len(refusal.remedy) > 10


def test_a_policy_names_the_method_it_does_not_allow() -> None:
    found = against(small_study(), "networks: [FullyConnectedNet]", "networks: [Classifier]")
    assert found["policy.networks"].what == (
        "the network FullyConnectedNet is not allowed (allowed: Classifier)"
    )
    found = against(small_study(), "tasks: [binary_classification]", "tasks: []")
    assert "(allowed: none)" in found["policy.tasks"].what


def test_a_study_must_bear_as_many_colluders_as_the_policy_asks() -> None:
    wanted = ("sites: 3", "sites: 3\n  colluders: 2")
    refusal = against(small_study(), *wanted)["policy.colluders"]
    assert refusal.remedy == "ask for aggregation: {colluders: 2, threshold: 4}, or more"
    asked = changed("threshold: 3, colluders: 1", "colluders: 2, threshold: 4")
    assert against(asked, *wanted) == {}
    too_many = against(asked, "sites: 3", "sites: 3\n  colluders: 3")["policy.colluders"]
    assert too_many.remedy == "ask for more hospitals: 4 cannot bear 3 that collude"


def test_a_sum_must_hold_as_many_updates_as_the_policy_asks() -> None:
    found = against(small_study(), "sites: 3", "sites: 4")
    assert found["policy.sites"].remedy == "ask for aggregation.min_sites: 4"
    asked = changed("colluders: 1", "colluders: 1, min_sites: 4")
    assert against(asked, "sites: 3", "sites: 4") == {}


def test_the_remedy_for_a_dear_study_is_an_own_epsilon_and_it_helps() -> None:
    dear = changed("epsilon: 4", "epsilon: 5")
    assert "sites: - {name: east, epsilon: 4}" in against(dear)["policy.epsilon_at_most"].remedy
    own = dear.replace("{name: east, ", "{name: east, epsilon: 4, ")
    assert against(own) == {}


@pytest.mark.parametrize("phrase", ["TO BE", "tested", "to-be, tested!", "be tested"])
def test_a_purpose_is_matched_by_whole_words_in_any_case(phrase: str) -> None:
    assert against(small_study(), "[to be tested]", f"['{phrase}']") == {}


@pytest.mark.parametrize("phrase", ["test", "be to", "to tested", "to be tested again"])
def test_parts_of_words_and_other_orders_are_no_purpose(phrase: str) -> None:
    assert "policy.purposes" in against(small_study(), "[to be tested]", f"['{phrase}']")


def test_a_simulated_hospital_takes_what_only_a_simulation_may() -> None:
    study = read_study(changed("mode: per_site, epsilon: 4, delta: 1e-3, clip: 1.0", "mode: none"))
    assert refusals(east().policy, study, site="east", simulated=True) == ()


def test_every_column_that_is_read_counts_the_label_the_key_and_the_split() -> None:
    study = read_study(changed("keyed_hash, test_fraction: 0.3",
                               "column, column: fold, train: [a], test: [b]"))  # fmt: skip
    assert columns_read(study) == ("age", "fold", "ill", "patient", "ward")


def test_a_hospital_that_declined_groups_need_not_allow_their_column() -> None:
    grouped = changed("{bins: 8}", "{bins: 8, groups: {scan: {column: scanner, edges: [2]}}}")
    declined = grouped.replace("name: east", "name: east, groups: false")
    assert "scanner" in columns_read(read_study(declined), "west")
    assert "scanner" in against(grouped)["policy.columns"].what
    assert against(declined) == {}


def test_a_row_that_is_a_patient_is_no_column() -> None:
    assert "row" not in columns_read(read_study(changed("key: patient", "key: row")))


def test_images_are_read_by_the_names_that_a_policy_can_allow() -> None:
    assert columns_read(read_study(IMAGES)) == ("images", "labels")
    keyed = IMAGES.replace("patient_key: row", "patient_key: patients")
    assert columns_read(read_study(keyed)) == ("images", "labels", "patients")


FUSION = IMAGES.replace(
    "scale: 64}",
    "scale: 64}\n  columns: [{name: age, kind: number, range: [0, 120]}]",
).replace(
    "{_target_: Classifier, channels: [4], strides: [2]}",
    "{_target_: LateFusion, image: {_target_: Classifier, channels: [4], strides: [2]}, "
    "table: {_target_: FullyConnectedNet}}",
)


def test_columns_beside_images_and_both_networks_are_to_be_allowed() -> None:
    study = read_study(FUSION)
    assert columns_read(study) == ("age", "images", "labels")
    found = refusals(east().policy, study, site="east")
    whats = [refusal.what for refusal in found if refusal.where == "policy.networks"]
    assert [what.split()[2] for what in whats] == ["LateFusion", "Classifier"]
    assert any("age" in refusal.what for refusal in found if refusal.where == "policy.columns")


NIGHT = Resources(hours="20:00-06:00", time_zone="Europe/Berlin")


@pytest.mark.parametrize(
    ("clock", "is_open"),
    [("18:59", False), ("19:00", True), ("23:30", True), ("04:59", True), ("05:00", False)],
)
def test_hours_pass_midnight_in_the_hospitals_own_time(clock: str, is_open: bool) -> None:
    now = datetime.fromisoformat(f"2000-01-10T{clock}+00:00")  # Berlin is an hour ahead in winter
    assert open_at(NIGHT, now) is is_open


def test_hours_follow_summer_time() -> None:
    assert open_at(NIGHT, datetime(2000, 7, 10, 18, 0, tzinfo=UTC))
    assert not open_at(NIGHT, datetime(2000, 7, 10, 4, 0, tzinfo=UTC))


def test_hours_may_end_at_midnight() -> None:
    evening = Resources(hours="20:00-24:00")
    assert open_at(evening, datetime(2000, 1, 1, 23, 59, 59, tzinfo=UTC))
    assert not open_at(evening, datetime(2000, 1, 1, 0, 0, tzinfo=UTC))


def test_without_hours_it_is_always_open() -> None:
    assert open_at(Resources(), datetime(2000, 1, 1, tzinfo=UTC))


def test_a_time_without_a_zone_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="time zone"):
        open_at(NIGHT, datetime(2000, 1, 1))  # noqa: DTZ001


def test_a_recipe_is_allowed_by_the_digest_of_its_wheel_alone() -> None:
    package = RecipePackage(distribution="acme-recipes", version="1.2.0", sha256="ab" * 32)
    study = study_with(package)
    refused = against(study)
    assert list(refused) == ["policy.recipes"]  # policy.networks has no say in it
    assert "acme-recipes 1.2.0, which is not allowed" in refused["policy.recipes"].what
    assert f"sha256: {'ab' * 32}}}" in refused["policy.recipes"].remedy
    listed = "policy:\n  recipes: [{wheel: acme.whl, sha256: " + "ab" * 32 + "}]"
    assert against(study, "policy:", listed) == {}
    assert against(study, "policy:", listed.replace("ab", "cd")).keys() == {"policy.recipes"}
