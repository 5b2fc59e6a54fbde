"""The database that views read, for as long as it is open."""

from collections.abc import Callable
from pathlib import Path

from coordinator.database.store import RunRow, Store
from coordinator.runs.monitoring.progress import RunProgress
from coordinator.views.log.act_places import ActPlaces
from coordinator.views.log.cosigners import NewestCosigned
from coordinator.views.one_run.run_summary import RunLines


class OpenDatabase:
    """A consortium's database that is open for reading, and what was read of it before.

    Args:
        store: the consortium's database.
        public_key: reads the key that the log's heads are signed with.
        at_work: says whether some process is running studies in it now; a run that
            says "running" while nobody works was interrupted.
        progress: how far a run at work on a network is, by its id.
        folder: where comparisons lie beside the runs, if there are any.
    """

    def __init__(
        self,
        store: Store,
        *,
        public_key: Callable[[], bytes],
        at_work: Callable[[], bool] = lambda: False,
        progress: Callable[[str], RunProgress | None] = lambda run_id: None,
        folder: Path | None = None,
    ) -> None:
        self._store, self._progress, self._folder = store, progress, folder
        self._public_key = public_key
        self._at_work = at_work
        self._lines, self._cosigned = RunLines(), NewestCosigned()  # what was read before
        self._places = ActPlaces()

    def close(self) -> None:
        """Lets go of the database."""
        self._store.close()

    def _state(self, row: RunRow) -> str:
        return self._state_now()(row.state)

    def _state_now(self) -> Callable[[str], str]:
        """Returns what shows a stored state as it is now."""
        works = self._at_work()
        return lambda stored: "interrupted" if stored == "running" and not works else stored
