"""A study's initial parameters, trained layers, augmentation and released model, in words."""

from compliance.facts.training_description import training_description

EACH = {
    "cohort": {
        "image": {
            "preprocessing": [
                {"_target_": "Resized", "spatial_size": [8, 8], "mode": "area"},
                {"_target_": "ScaleIntensityd"},
            ]
        }
    },
    "task": {
        "pretrained": {"file": "a.safetensors", "sha256": "3f" * 32, "source": "published there"},
        "trained_layers": ["head", "norm"],
        "adapters": {"rank": 8, "layers": ["blocks"]},
        "augmentation": {
            "copies": 4,
            "transforms": [{"prob": 0.5, "_target_": "RandFlipd", "spatial_axis": 1}],
        },
    },
    "training": {"average_last": 5},
}


def test_each_of_them_is_said_and_nothing_where_there_is_none() -> None:
    said = dict(training_description(EACH))
    assert list(said) == ["prepares", "starts from", "trains", "augments", "releases"]
    words = (
        "each training image, 4 random variations of it a step: "
        "RandFlipd (prob 0.5, spatial_axis 1)"
    )
    assert said["augments"] == words
    prepared = "Resized (spatial_size [8, 8], mode area), ScaleIntensityd"
    assert said["prepares"] == f"each image, as it is read: {prepared}"
    assert said["releases"] == "the mean of the last 5 rounds' models"
    assert said["trains"] == "head; norm; adapters of rank 8 at blocks; other layers are frozen"
    assert "published there" in said["starts from"]
    assert "no claim covers the people" in said["starts from"]
    assert training_description({"task": {}, "training": {}}) == ()


def test_a_setting_that_does_nothing_is_not_told_and_the_first_axis_is() -> None:
    turned = {"_target_": "RandAffined", "prob": 1.0, "rotate_range": 0.0, "translate_range": 2.0}
    flipped = {"_target_": "RandFlipd", "prob": 0.5, "spatial_axis": 0}
    ranged = {"_target_": "ScaleIntensityRanged", "a_min": 0.0, "a_max": 400.0, "clip": False}
    said = dict(
        training_description(
            {
                "cohort": {"image": {"preprocessing": [ranged]}},
                "task": {"augmentation": {"copies": 2, "transforms": [turned, flipped]}},
            }
        )
    )
    assert said["prepares"].endswith(": ScaleIntensityRanged (a_min 0, a_max 400)")
    assert said["augments"].endswith(
        ": RandAffined (prob 1, translate_range 2), RandFlipd (prob 0.5, spatial_axis 0)"
    )


def test_a_strategy_is_told_with_its_keys_and_what_it_keeps_and_prices() -> None:
    def said(**training: object) -> str:
        return dict(training_description({"training": training})).get("trains together by", "")

    own = "each hospital keeps a model of its own, whose gradients are priced too"
    assert said(strategy="fedavg", rounds=2) == said() == ""
    assert said(strategy="scaffold", rounds=2) == "scaffold"
    assert said(strategy="mrmtl", pull=0.3, rounds=2) == f"mrmtl (pull 0.3); {own}"
    assert said(strategy="fedper", own_layers=["a", "b"]) == f"fedper (own_layers a + b); {own}"
    twice = "2 gradients of a patient in each step, all priced"
    assert said(strategy="ditto", pull=0.1) == f"ditto (pull 0.1); {own}; {twice}"
