"""The whole job as a user starts it: ``collegium simulate``, with Ray, beside a bare process.

Four hospitals are four Ray actors; every protection is on. The floor is a new
Python process that trains the same networks for the same rounds in one loop.
The time of a round comes from the run's own record.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from sqlalchemy import select

from coordinator.database.store import RoundRow, Store
from coordinator.database.workspace import Workspace
from protocol.study.study_file import read_study
from tests.bench import studies
from tests.bench.measurement import OURS, WALL, Row, Target, row_of

AREA = "simulated job"
BARE = "bare process"
_ROUNDS = 10
_SIMULATE = "from collegium.cli.main import main; main()"
_BARE = f"""\
import json, torch
torch.set_num_threads(1)
from tests.bench import studies
from tests.bench.bare_loop import BareLoop
print(json.dumps(BareLoop(studies.tabular(rounds={_ROUNDS})).run()[1]))
"""


def rows(jobs: int) -> Iterator[Row]:
    """Yields the round and the job, start to end."""
    taken = [(_simulated(), _bare()) for _ in range(jobs)]
    case = f"collegium simulate, 4 silos under Ray, {_ROUNDS} rounds"
    yield row_of(
        AREA,
        "one training round",
        case,
        {OURS: [ours[1] for ours, _ in taken], "bare loop": [bare[1] for _, bare in taken]},
        target=Target(most=60.0),
        clock="wall",
    )
    yield row_of(
        AREA,
        "command, start to end",
        case,
        {OURS: [ours[0] for ours, _ in taken], BARE: [bare[0] for _, bare in taken]},
        target=Target(most=20.0),
        unit="s",
        scale=1e-3,
        clock="wall",
    )


def _simulated() -> tuple[float, float]:
    """Returns the milliseconds of a command and the median of its training rounds but the first."""
    text = studies.tabular_text(rounds=_ROUNDS)
    with tempfile.TemporaryDirectory(prefix="collegium-bench-") as folder:
        place = Path(folder)
        (place / "study.yaml").write_text(text)
        studies.write_hospitals(place, read_study(text))
        job, _ = _command(
            "-c", _SIMULATE, "simulate", str(place / "study.yaml"),
            "--data", folder, "--out", str(place / "out"),
        )  # fmt: skip
        return job, statistics.median(_rounds(place / "out"))


def _bare() -> tuple[float, float]:
    job, told = _command("-c", _BARE)
    return job, statistics.median(json.loads(told))


def _command(*arguments: str) -> tuple[float, str]:
    started = WALL()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    taken = (WALL() - started) * 1000
    if done.returncode != 0:
        raise RuntimeError(f"{arguments[:3]} failed: {done.stderr[-2000:]}")
    return taken, done.stdout


def _rounds(out: Path) -> list[float]:
    """Returns the milliseconds from one round's commit to the next, as the store has them."""
    store = Store(Workspace.open(out).database)
    try:
        with store.read() as session:
            query = select(RoundRow.closed_at).where(RoundRow.round_kind == "training")
            closed = [
                datetime.fromisoformat(text)
                for text in session.scalars(query.order_by(RoundRow.number))
                if text is not None
            ]
    finally:
        store.close()
    return [(later - earlier).total_seconds() * 1000 for earlier, later in pairwise(closed)]
