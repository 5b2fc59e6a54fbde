"""``collegium silo check`` of one hospital's table: wall clock, and the most memory that was held.

The study of ``examples/diabetes130`` as that of one hospital: the file of 101,766 stays as it is,
and the same lines again and again with new keys up to a million. The command runs in a process
of its own, so its imports count. Targets are those of an idle machine.
"""

import json
import os
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import yaml

from silos.database.database import open_hospital
from tests import ROOT
from tests.bench.measurement import OURS, Row, Target, row_of
from tests.support.hospital.sites import SITE

AREA = "site-check"
MANY = 1_000_000
_FILE = ROOT.parent / "shared" / "data" / "diabetes130" / "dataset_diabetes.zip"
_EXAMPLE = ROOT / "examples" / "diabetes130" / "study.yaml"
_MOST_SECONDS = {False: 20.0, True: 60.0}
_MOST_MEMORY = 2000.0  # MB


def rows() -> Iterator[Row]:
    """Yields the rows of time, in seconds, and of memory, in MB; none without the file."""
    if not _FILE.is_file():
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home = _hospital(folder)
        for many in (False, True):
            count = _write(home / "records.csv", MANY if many else None)
            seconds, memory = _checked(folder)
            case = f"{count:,} rows of 50 columns"
            yield row_of(
                AREA,
                "silo check",
                case,
                {OURS: [seconds]},
                target=Target(most=_MOST_SECONDS[many]),
                unit="s",
                clock="wall",
            )
            yield row_of(
                AREA,
                "silo check, peak resident memory",
                case,
                {OURS: [memory]},
                target=Target(most=_MOST_MEMORY),
                unit="MB",
                clock="maximum resident set",
            )


def _hospital(folder: Path) -> Path:
    study = yaml.safe_load(_EXAMPLE.read_text())
    del study["partition"]
    study["sites"] = [
        {"name": name, "records": "records.csv", "patients": MANY}
        for name in ("ash", "birch", "cedar")
    ]
    study["privacy"]["delta"] = 1e-7
    study["aggregation"] = {"threshold": 3, "colluders": 0}
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    home = folder / "ash"
    home.mkdir()
    site = SITE.replace("name: east", "name: ash").replace("east.csv", "records.csv")
    (home / "site.yaml").write_text(site)
    open_hospital(home / "hospital.db", site="ash").close()
    return home


def _write(file: Path, count: int | None) -> int:
    """Writes the file's lines until there are so many, each time with other keys."""
    with zipfile.ZipFile(_FILE) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("diabetic_data.csv")]
        head, *lines = archive.read(name).decode().splitlines()
    place = head.split(",").index("patient_nbr")
    count = len(lines) if count is None else count
    with file.open("w") as text:
        text.write(head + "\n")
        text.writelines(_again(line, place, number // len(lines)) for number, line in
                        enumerate(lines[at % len(lines)] for at in range(count)))  # fmt: skip
    return count


def _again(line: str, place: int, turn: int) -> str:
    cells = line.split(",")
    cells[place] += f"{turn:02}"
    return ",".join(cells) + "\n"


def _checked(folder: Path) -> tuple[float, float]:
    """Returns the seconds and the MB of one check, which need not find that the study may run."""
    study, home = folder / "study.yaml", folder / "ash"
    command = [sys.executable, *f"-m collegium silo check {study} --home {home} --json".split()]
    started = time.perf_counter()
    out = os.open(folder / "said.json", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    try:
        ends = [
            (os.POSIX_SPAWN_DUP2, out, 1),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
        ]
        child = os.posix_spawn(sys.executable, command, os.environ, file_actions=ends)
        _, status, used = os.wait4(child, 0)
    finally:
        os.close(out)
    seconds = time.perf_counter() - started
    if json.loads((folder / "said.json").read_text())["records"] is None:
        raise ValueError(f"the check did not read the records: status {status}")
    return seconds, used.ru_maxrss * 1024 / 1e6
