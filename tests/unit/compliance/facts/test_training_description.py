"""What is said of a study before and after it is trained."""

from compliance.facts.training_description import training_description

EACH = {
    "task": {
        "pretrained": {"file": "a.safetensors", "sha256": "3f" * 32, "source": "published there"},
        "trained_layers": ["head", "norm"],
        "adapters": {"rank": 8, "layers": ["blocks"]},
        "augmentation": {
            "copies": 4,
            "transforms": [{"_target_": "RandFlipd"}, {"_target_": "RandAffined"}],
        },
    },
    "training": {"average_last": 5},
}


def test_each_of_them_is_said_and_nothing_where_there_is_none() -> None:
    said = dict(training_description(EACH))
    assert list(said) == ["starts from", "trains", "varies", "releases"]
    assert said["varies"] == "each training image 4 times in a step: RandFlipd, RandAffined"
    assert said["trains"] == "head; norm; adapters of rank 8 at blocks; other layers are frozen"
    assert "no claim covers the people" in said["starts from"]
    assert training_description({"task": {}, "training": {}}) == ()
