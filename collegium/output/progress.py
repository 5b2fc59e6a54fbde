"""Progress of runs, sweeps and long reads: which round, what was spent, how many rows so far."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Protocol, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.table import Column

from compliance.privacy.rounding import percent
from pipelines.sources.progress import told_of_rows
from protocol.study.privacy import PatientPrivacy
from protocol.study.rounds.course import rolled_back_text
from protocol.study.study import Study


def _cut(*, most: int | None = None, share: int | None = None) -> Column:
    """Returns a column that is cut, so that bar and time left stand in a narrow terminal too."""
    return Column(no_wrap=True, overflow="ellipsis", max_width=most, ratio=share)


class Watching(Protocol):
    """Anything that shows how far a run or a sweep is."""

    def say(self, what: str) -> None:
        """Shows what is going on before the rounds begin."""

    def round_finished(self, round_kind: str, number: int, survivors: tuple[str, ...]) -> None:
        """Shows that a round of a run is done."""

    def rolled_back(self, after: int, to: int) -> None:
        """Shows that a run went back, after so many rounds, to the model after ``to`` rounds."""

    def run_finished(self, which: str) -> None:
        """Shows that a run of a sweep is done."""


#: Begins to show a study's progress: ``(study, runs, rounds)``, as ``Progress`` takes them.
Watch: TypeAlias = Callable[[Study, int, bool], AbstractContextManager[Watching]]


class Silent:
    """A watcher that says nothing."""

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, what: str) -> None:
        """Says nothing."""

    def round_finished(self, round_kind: str, number: int, survivors: tuple[str, ...]) -> None:
        """Says nothing."""

    def rolled_back(self, after: int, to: int) -> None:
        """Says nothing."""

    def run_finished(self, which: str) -> None:
        """Says nothing."""


@contextmanager
def rows_on_screen(console: Console) -> Iterator[None]:
    """Shows on a terminal how many rows have been read so far; elsewhere nothing."""
    if not console.is_terminal:
        yield
        return
    with console.status("reading the records") as status:
        with told_of_rows(lambda count: status.update(f"reading the records: {count:,} rows")):
            yield


def on_screen(console: Console) -> Watch:
    """Returns what shows progress on a console."""
    return lambda study, runs, rounds: Progress(console, study, runs, rounds=rounds)


def unwatched(_study: Study, _runs: int, _rounds: bool) -> Silent:
    """Shows nothing of a study's progress."""
    return Silent()


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
            study.title, total=runs + rounds * steps_of(study), detail=""
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

    def round_finished(self, round_kind: str, number: int, survivors: tuple[str, ...]) -> None:
        """Moves the bar on: round, sites, epsilon."""
        detail = round_text(self._study, round_kind, number, survivors)
        self._bar.update(self._task, advance=1, detail=detail)
        if not self._console.is_terminal:
            self._console.print(f"  {detail}", markup=False)

    def rolled_back(self, after: int, to: int) -> None:
        """Says that the run went back to an earlier model."""
        self.say(rolled_back_text(after, to))

    def run_finished(self, which: str) -> None:
        """Moves the bar on by one run of a sweep, or one baseline."""
        self._runs_done += 1
        detail = f"{self._runs_done} of {self._runs} done; {which}"
        self._bar.update(self._task, advance=1, detail=detail)
        if not self._console.is_terminal:
            self._console.print(f"  {detail}", markup=False)


def steps_of(study: Study) -> int:
    """Returns how many rounds a run has, of training and of evaluation."""
    return study.training.rounds + 1 + study.evaluations.interim


def round_text(study: Study, round_kind: str, number: int, survivors: tuple[str, ...]) -> str:
    """Returns which round is done, how many sites answered, and what of the plan is used up."""
    where = study.evaluations.place(round_kind, number) if study.has_model else "columns counted"
    done = study.evaluations.rounds_before(round_kind, number) + (round_kind == "training")
    spent = "" if study.calendar is not None else _spent(study, done)
    return f"{where}, {len(survivors)} of {len(study.sites)} sites{spent}"


def _spent(study: Study, rounds: int) -> str:
    """Returns the part of the plan used by the rounds so far; epsilon grows faster at first."""
    privacy = study.privacy
    if not isinstance(privacy, PatientPrivacy):
        return ", no privacy"
    done = min(1.0, rounds / study.training.rounds) if study.training.rounds else 1.0
    return f", {percent(done)} of the plan for epsilon {privacy.epsilon:g}"
