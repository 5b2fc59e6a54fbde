"""Facts of runs as pandas tables; an interval becomes four columns: figure, low, high, note."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from compliance.facts.dossier import CourseFacts, RoundFacts
from compliance.facts.privacy_utility import RELEASED, UtilityPoint, Withheld, figure_of

_INTERVAL = {"value", "low", "high", "note"}
_POINT = ("mode", "epsilon", "seed", "split", "kind", "low", "high", "study")


def flat(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Returns facts with every interval in four columns; a withheld one has a note alone.

    >>> flat({"auroc": {"value": 0.8, "low": 0.7, "high": 0.9, "note": ""}, "seed": 1})
    {'auroc': 0.8, 'auroc_low': 0.7, 'auroc_high': 0.9, 'auroc_note': '', 'seed': 1}
    """
    found: dict[str, Any] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping) and set(value) == _INTERVAL:
            ends = {f"{name}_{part}": _number(value[part]) for part in ("low", "high")}
            found |= {name: _number(value["value"])} | ends | {f"{name}_note": value["note"]}
        else:
            found[name] = value
    return found


def _number(value: float | None) -> float:
    """Returns a number; not a number where there is none, so that a column stays numeric."""
    return math.nan if value is None else value


def by_name(facts: Mapping[str, Mapping[str, Any]], index: str) -> pd.DataFrame:
    """Returns a table with a row for each name."""
    rows = {name: flat(row) for name, row in facts.items()}
    return _numeric(pd.DataFrame.from_dict(rows, orient="index").rename_axis(index))


def rows_of(facts: Iterable[Mapping[str, Any]], index: str, columns: Sequence[str]) -> pd.DataFrame:
    """Returns a table with these columns; one that is empty has them too."""
    frame = pd.DataFrame([flat(row) for row in facts])
    return _numeric(frame.reindex(columns=[index, *columns]).set_index(index))


def _numeric(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns a table in which a column that is wholly missing is one of numbers."""
    missing = [name for name in frame.columns if len(frame) and frame[name].isna().all()]
    return frame.astype(dict.fromkeys(missing, float))


def course_frame(course: CourseFacts | None) -> pd.DataFrame:
    """Returns a row for each evaluation of a run with interim ones; no row of another."""
    found = [] if course is None else course.to_json()["evaluations"]
    rows = [
        {
            "after_round": one["after_round"],
            "figure": course.figure.name if course else "",
            "released": one["released"],
            "sites": len(one["sites"]),
            "rolled_back_to": one["rolled_back_to"],
            "model_digest": one["model_digest"],
        }
        for one in found
    ]
    columns = [
        "figure", "released", "released_low", "released_high", "released_note", "sites",
        "rolled_back_to", "model_digest",
    ]  # fmt: skip
    return rows_of(rows, "after_round", columns)


def utility_frame(points: Sequence[UtilityPoint], withheld: Sequence[Withheld]) -> pd.DataFrame:
    """Returns a row for each figure of a run or reference, and for each that was withheld.

    The figure's column is called by its name, such as ``auroc``; ``study`` is empty unless runs of
    one mode differ by more than epsilon and seeds.
    """
    name = figure_of(points).name
    rows = [
        {key: getattr(point, key) for key in _POINT} | {name: point.value, "note": ""}
        for point in points
    ]
    rows += [
        {"mode": one.mode, "epsilon": one.epsilon, "seed": one.seed, "kind": RELEASED}
        | {"study": one.study, "note": one.why}
        for one in withheld
    ]
    frame = pd.DataFrame(rows, columns=[*_POINT[:5], name, *_POINT[5:], "note"])
    return frame.sort_values(["kind", "mode", "epsilon", "seed"], ignore_index=True)


def budget_frame(budgets: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Returns a row for each hospital and each part of its patients."""
    rows = [
        {"site": site, "patients": part}
        | {name: budget[name] for name in ("epsilon_max", "delta")}
        | dict(shares)
        | ({} if budget["forecast"] is None else {"fits": budget["forecast"]["fits"]})
        for site, budget in budgets.items()
        for part, shares in budget["partitions"].items()
    ]
    return pd.DataFrame(rows).set_index(["site", "patients"])


def rounds_frame(rounds: Sequence[RoundFacts]) -> pd.DataFrame:
    """Returns a row for each round that was opened, failed attempts included."""
    columns = [
        "round", "attempt", "round_kind", "state", "opened_at", "seconds", "sites", "dropped",
        "remarks",
    ]  # fmt: skip
    rows = [
        {
            "round": one.number,
            "attempt": one.attempt + 1,
            "round_kind": one.round_kind,
            "state": one.state,
            "opened_at": pd.Timestamp(one.opened_at),
            "seconds": one.seconds,
            "sites": len(one.survivors),
            "dropped": ", ".join(one.dropped),
            "remarks": "; ".join(one.remarks),
        }
        for one in rounds
    ]
    return pd.DataFrame(rows, columns=columns)
