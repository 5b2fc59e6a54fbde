"""Progress of runs and sweeps in a notebook: one bar below the cell, quiet everywhere else.

IPython is asked only where it runs already; nothing of it is needed.
"""

import html
import sys

from collegium.output.console import console
from collegium.output.progress import Silent, Watch, on_screen, round_text, steps_of, unwatched
from protocol.counted import counted
from protocol.study.rounds.course import rolled_back_text
from protocol.study.study import Study

_BAR = (
    '<div style="font-family: sans-serif; font-size: 13px">'
    '<progress max="{total}" value="{done}" style="width: 16em; vertical-align: middle">'
    "</progress> <b>{title}</b> {detail}</div>"
)


def watch_for(progress: bool | None) -> Watch:
    """Returns what shows progress where this process runs.

    Args:
        progress: True shows it, False does not; None shows it in a notebook and in a
            terminal, and in neither a program nor a test.
    """
    notebook = in_notebook()
    if progress is None:
        progress = notebook or sys.stderr.isatty()
    if not progress:
        return unwatched
    return NotebookProgress if notebook else on_screen(console())


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")


class NotebookProgress(Silent):
    """A bar below the cell, for one run's rounds or a sweep's runs; it ends as one line."""

    def __init__(self, study: Study, runs: int, rounds: bool) -> None:
        from IPython.display import display  # type: ignore[import-not-found]

        self._study, self._runs = study, runs
        self._total = runs + rounds * steps_of(study)
        self._done = 0
        self._handle = display(_Html(self._bar("starting")), display_id=True)

    def __exit__(self, *raised: object) -> None:
        ended = "ended early" if any(raised) else "done"
        what = counted(self._runs, "run") if self._runs else "evaluation included"
        self._show(f"{ended}: {self._done} of {self._total}, {what}")

    def say(self, what: str) -> None:
        """Shows what is going on before the rounds begin."""
        self._show(what)

    def round_finished(self, round_kind: str, number: int, survivors: tuple[str, ...]) -> None:
        """Moves the bar on: round, sites, epsilon."""
        self._done += 1
        self._show(round_text(self._study, round_kind, number, survivors))

    def rolled_back(self, after: int, to: int) -> None:
        """Says that the run went back to an earlier model."""
        self._show(rolled_back_text(after, to))

    def run_finished(self, which: str) -> None:
        """Moves the bar on by one run of a sweep, or one baseline."""
        self._done += 1
        self._show(f"{self._done} of {self._runs} done; {which}")

    def _show(self, detail: str) -> None:
        self._handle.update(_Html(self._bar(detail)))

    def _bar(self, detail: str) -> str:
        return _BAR.format(
            total=self._total,
            done=self._done,
            title=html.escape(self._study.title),
            detail=html.escape(detail),
        )


class _Html:
    """A text that a notebook shows as HTML."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return ""

    def _repr_html_(self) -> str:
        return self._text
