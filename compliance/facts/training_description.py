"""Describes a study's preprocessing, initial parameters, trained layers and released model."""

from collections.abc import Mapping
from typing import Any

from protocol.counted import counted
from protocol.study.strategies.registry import STRATEGIES
from protocol.study.strategies.training import Training

#: Settings that change nothing where they are zero, or false. An axis of zero is an axis.
_NOTHING_AT_ZERO = frozenset(
    {"rotate_range", "translate_range", "scale_range", "margin", "nonzero", "clip"}
)


def training_description(study: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Returns headings and words about a study as JSON; none where it starts and ends as usual.

    >>> training_description({"training": {"average_last": 5}})
    (('releases', "the mean of the last 5 rounds' models"),)
    """
    task, found = study.get("task", {}), []
    prepared = study.get("cohort", {}).get("image", {}).get("preprocessing")
    if prepared:
        words = ", ".join(_transform(each) for each in prepared)
        found.append(("prepares", f"each image, as it is read: {words}"))
    for named in study.get("recipes", ()):
        words = (
            f"{named['distribution']} {named['version']} (wheel of SHA-256 {named['sha256']}), "
            "which each hospital installs and allows itself; its code runs where records are"
        )
        found.append(("takes code from", words))
    if isinstance(task.get("loss"), Mapping):
        found.append(("learns by", _transform(task["loss"])))
    if task.get("pretrained"):
        named = task["pretrained"]
        words = (
            f"{named['source']} ({named['file']}, SHA-256 {named['sha256']}); no claim covers the "
            "people whose data these parameters were learned from"
        )
        trains = study.get("training", {}).get("rounds") != 0
        found.append(("starts from" if trains else "evaluates", words))
    trained = list(task.get("trained_layers", ()))
    if task.get("adapters"):
        named = task["adapters"]
        trained.append(f"adapters of rank {named['rank']} at {', '.join(named['layers'])}")
    if trained:
        found.append(("trains", f"{'; '.join(trained)}; other layers are frozen"))
    if task.get("augmentation"):
        named = task["augmentation"]
        words = ", ".join(_transform(each) for each in named["transforms"])
        copies = counted(named["copies"], "random variation")
        found.append(("augments", f"each training image, {copies} of it a step: {words}"))
    if said := _strategy(study.get("training", {})):
        found.append(("trains together by", said))
    count = study.get("training", {}).get("average_last", 1)
    if count > 1:
        found.append(("releases", f"the mean of the last {count} rounds' models"))
    return tuple(found)


def _strategy(training: Mapping[str, Any]) -> str:
    """Returns the strategy with its own keys, and what each hospital keeps; empty for fedavg."""
    name = training.get("strategy", "fedavg")
    if name == "fedavg" or name not in STRATEGIES:
        return ""
    keys = {
        key: " + ".join(value) if isinstance(value, list) else value
        for key, value in training.items()
        if key not in Training.model_fields
    }
    said = [_transform({"_target_": name, **keys})]
    if STRATEGIES[name].personal is not None:
        said.append("each hospital keeps a model of its own, whose gradients are priced too")
    if (gradients := STRATEGIES[name].keys.gradients_per_step) > 1:
        said.append(f"{counted(gradients, 'gradient')} of a patient in each step, all priced")
    return "; ".join(said)


def _transform(settings: Mapping[str, Any]) -> str:
    """Returns a transform's name and its settings, without those that do nothing as they are."""
    words = (
        f"{key} {f'{value:g}' if isinstance(value, float) else value}"
        for key, value in settings.items()
        if key != "_target_" and (value or key not in _NOTHING_AT_ZERO)
    )
    told = ", ".join(words)
    return f"{settings['_target_']} ({told})" if told else str(settings["_target_"])
