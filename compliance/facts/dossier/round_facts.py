"""One round of a run, and how the groups under a robust rule lay to what it gave."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Any

from protocol.counted import counted
from protocol.study.study import RobustRule


@dataclass(frozen=True, kw_only=True)
class RoundFacts:
    """One aggregation; ``number`` counts from 1. ``remarks`` are sentences about its sites.

    Of an evaluation that ``is_interim`` ``number`` is that of the training round before it.

    ``clip`` is the adaptive clip of a training round; None where the clip is fixed. All its sites
    together sent ``bytes_up`` and were sent ``bytes_down``; None where nobody counted. Under a
    robust rule each group (from 1) is an aggregation: ``norm`` is the length of what the rule gave,
    ``direction`` its cosine with that of the round before, ``distance`` how far from it the group's
    mean lay.
    """

    number: int
    attempt: int
    round_kind: str
    state: str
    context: str
    survivors: tuple[str, ...]
    dropped: tuple[str, ...]
    remarks: tuple[str, ...] = ()
    model_digest: str | None
    opened_at: str
    seconds: float | None
    clip: float | None = None
    bytes_up: int | None = None
    bytes_down: int | None = None
    group: int | None = None
    norm: float | None = None
    direction: float | None = None
    distance: float | None = None
    is_interim: bool = False


#: A group lies far from what a robust rule gave if so many times as far as the middle one.
FAR = 3.0


@dataclass(frozen=True, kw_only=True)
class RobustFacts:
    """The robust rule of a run, and how its groups lay to what it gave, round by round."""

    rule: RobustRule
    rounds: tuple[RoundFacts, ...]
    rolls_back: bool = False

    def is_far(self, one: RoundFacts) -> bool:
        """Whether a group's mean lay far from what the rule gave, next to the others'."""
        beside = [r.distance for r in self.rounds if r.number == one.number]
        known = [distance for distance in beside if distance is not None]
        return one.distance is not None and one.distance > FAR * median(known)

    @property
    def often_far(self) -> Mapping[int, int]:
        """In how many rounds each group lay far; without those that never did."""
        found = Counter(one.group for one in self.rounds if self.is_far(one))
        return {group: count for group, count in sorted(found.items()) if group is not None}

    @property
    def text(self) -> str:
        """The rule in words."""
        rule = self.rule
        ends = f", without {rule.trim} at either end" if rule.trim else ""
        return (
            f"{rule.rule.replace('_', ' ')}{ends}, of the means of {len(rule.groups)} groups: "
            f"it bears {counted(rule.bears, 'group')} that {'are' if rule.bears > 1 else 'is'} "
            "wrong"
        )

    @property
    def sentence(self) -> str:
        """The rule, which groups lay far from what it gave, and whether rounds are taken back."""
        far = ", ".join(
            f"group {group} ({', '.join(self.rule.groups[group - 1])}) in {counted(times, 'round')}"
            for group, times in self.often_far.items()
        )
        said = f"Robust rule: {self.text}. Far from what it gave: {far or 'no group'}."
        if self.rolls_back:
            return said
        return (
            f"{said} A round that makes the model worse is not rolled back: the study does not say "
            "evaluation.roll_back."
        )

    def to_json(self) -> dict[str, Any]:
        """Returns the rule and its rounds as ``--json`` shows them."""
        return {
            **self.rule.model_dump(mode="json"),
            "bears": self.rule.bears,
            "rolls_back": self.rolls_back,
            "sentence": self.sentence,
            "rounds": [
                {
                    "round": one.number,
                    "group": one.group,
                    "sites": list(one.survivors),
                    "norm": one.norm,
                    "direction": one.direction,
                    "distance": one.distance,
                    "far": self.is_far(one),
                }
                for one in self.rounds
            ],
        }
