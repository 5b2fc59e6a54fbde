"""The evaluations of a run: after which rounds of training they are made, and their numbers.

Every round of a run has a number of its own, whatever its kind, for noise, masks and the log's
entries follow from it. Training rounds are 0 to R - 1. The last evaluation, after all R of them,
is round R; the interim ones, after every so many, are R + 1, R + 2 and so on.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class EvaluationSchedule:
    """The evaluations of a run of so many training rounds; ``every`` is None without interim ones.

    >>> schedule = EvaluationSchedule(rounds=20, every=5)
    >>> schedule.interim, schedule.numbers
    (3, (21, 22, 23, 20))
    """

    rounds: int
    every: int | None = None

    @property
    def interim(self) -> int:
        """The number of evaluations before the last one, which is not made twice."""
        return 0 if self.every is None else max(0, self.rounds - 1) // self.every

    @property
    def numbers(self) -> tuple[int, ...]:
        """The rounds' numbers of all evaluations, in the order in which they are made."""
        return (*range(self.rounds + 1, self.rounds + 1 + self.interim), self.rounds)

    def number_after(self, rounds: int) -> int | None:
        """Returns the number of the evaluation after so many training rounds; None without one.

        >>> schedule = EvaluationSchedule(rounds=20, every=5)
        >>> [schedule.number_after(rounds) for rounds in (0, 5, 7, 15, 20)]
        [None, 21, None, 23, 20]
        """
        if rounds == self.rounds:
            return self.rounds
        if self.every is None or not 0 < rounds < self.rounds or rounds % self.every:
            return None
        return self.rounds + rounds // self.every

    def rounds_before(self, round_kind: str, number: int) -> int:
        """Returns how many training rounds come before a round.

        >>> schedule = EvaluationSchedule(rounds=20, every=5)
        >>> [schedule.rounds_before("evaluation", number) for number in schedule.numbers]
        [5, 10, 15, 20]
        """
        if round_kind == "training" or number <= self.rounds or self.every is None:
            return number
        return (number - self.rounds) * self.every

    def round_after(self, round_kind: str, number: int) -> tuple[str, int]:
        """Returns kind and number of the round after one; after the last evaluation, itself.

        >>> schedule = EvaluationSchedule(rounds=20, every=5)
        >>> schedule.round_after("training", 4), schedule.round_after("evaluation", 21)
        (('evaluation', 21), ('training', 5))
        """
        before = self.rounds_before(round_kind, number)
        if round_kind == "evaluation":
            return ("training", before) if before < self.rounds else (round_kind, number)
        due = self.number_after(before + 1)
        return ("training", before + 1) if due is None else ("evaluation", due)

    def left(self, round_kind: str, number: int) -> int:
        """Returns how many rounds of either kind a run has left, with this one.

        >>> EvaluationSchedule(rounds=20, every=5).left("training", 0)
        24
        """
        before = self.rounds_before(round_kind, number)
        after = [self.rounds_before("evaluation", one) for one in self.numbers]
        due = [one for one in after if one > before or (one == before and round_kind != "training")]
        return self.rounds - before + len(due)

    def name(self, round_kind: str, number: int) -> str:
        """Returns the name by which ``audit recompute`` is asked for a round.

        >>> schedule = EvaluationSchedule(rounds=20, every=5)
        >>> schedule.name("training", 4), schedule.name("evaluation", 21)
        ('5', 'evaluation-5')
        >>> schedule.name("evaluation", 20)
        'evaluation'
        """
        if round_kind == "training":
            return str(number + 1)
        if number == self.rounds:
            return "evaluation"
        return f"evaluation-{self.rounds_before(round_kind, number)}"

    def place(self, round_kind: str, number: int) -> str:
        """Returns the place of a round in its run, in words.

        >>> schedule = EvaluationSchedule(rounds=20, every=5)
        >>> schedule.place("training", 4), schedule.place("evaluation", 21)
        ('round 5 of 20', 'evaluation after round 5')
        """
        if round_kind == "training":
            return f"round {number + 1} of {self.rounds}"
        if number == self.rounds:
            return "evaluation"
        return f"evaluation after round {self.rounds_before(round_kind, number)}"
