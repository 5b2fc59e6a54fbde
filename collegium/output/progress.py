"""Tells a person what is happening: which round, who answered, what was spent, how long still."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Column

from compliance.privacy.rounding import percent
from protocol.study.privacy import PatientPrivacy
from protocol.study.study import Study


def _cut(*, most: int | None = None, share: int | None = None) -> Column:
    """A column that is cut, so that bar and time left stand in a narrow terminal too."""
    return Column(no_wrap=True, overflow="ellipsis", max_width=most, ratio=share)


class Silent:
    """A watcher that says nothing."""

    def round_finished(self, purpose: str, number: int, survivors: tuple[str, ...]) -> None:
        """Says nothing."""


class Progress:
    """A live line for one run's rounds, then a sweep's runs; plain lines where nobody can watch."""

    def __init__(
        self, console: Console, study: Study, runs: int = 0, *, rounds: bool = True
    ) -> None:
        self._study = study
        self._runs = runs
        self._runs_done = 0
        self._console = console
        self._bar = RichProgress(
            TextColumn("{task.description}", markup=False, table_column=_cut(most=22)),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}", markup=False, table_column=_cut(share=1)),
            console=console,
            transient=True,
            expand=True,
        )
        self._task = self._bar.add_task(
            study.title, total=runs + rounds * (study.training.rounds + 1), detail=""
        )

    def __enter__(self) -> "Progress":
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def say(self, what: str) -> None:
        """Shows what is going on before the rounds begin."""
        self._bar.update(self._task, detail=what)
        if not self._console.is_terminal:
            self._console.print(f"  {what}", markup=False)

    def round_finished(self, purpose: str, number: int, survivors: tuple[str, ...]) -> None:
        """Moves the bar on: round, sites, epsilon."""
        total = self._study.training.rounds
        where = "evaluation" if purpose == "evaluation" else f"round {number + 1} of {total}"
        detail = f"{where}, {len(survivors)} of {len(self._study.sites)} sites{self._spent(number)}"
        self._bar.update(self._task, advance=1, detail=detail)
        if not self._console.is_terminal:
            self._console.print(f"  {detail}", markup=False)

    def run_finished(self, which: str) -> None:
        """Moves the bar on by one run of a sweep, or one pooled reference."""
        self._runs_done += 1
        detail = f"sweep: {self._runs_done} of {self._runs} done; {which}"
        self._bar.update(self._task, advance=1, detail=detail)
        if not self._console.is_terminal:
            self._console.print(f"  {detail}", markup=False)

    def _spent(self, number: int) -> str:
        """How much of the plan the rounds so far have used up; epsilon grows faster at first."""
        privacy = self._study.privacy
        if not isinstance(privacy, PatientPrivacy):
            return ", no privacy"
        done = min(1.0, (number + 1) / self._study.training.rounds)
        return f", {percent(done)} of the plan for epsilon {privacy.epsilon:g}"
