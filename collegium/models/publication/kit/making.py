"""Writes a kit from a recorded simulation, or records one of a bundled study first."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collegium.models.publication.crate import CrateRequest, Recording, write_crate
from collegium.models.publication.kit.contents import (
    CHECK,
    CHECK_SCRIPT,
    EXPECTED,
    KIT,
    MODEL,
    README,
    RECORDS,
    REQUIREMENTS,
    STUDY_FILE,
    KitRecord,
    readme,
)
from collegium.models.reproduction import (
    RerunSettings,
    RerunSource,
    recorded_run,
    simulate_again,
)
from collegium.output.progress import Watch
from collegium.studies.bundled import BUNDLED_STUDIES, DEFAULT_STUDY, bundled_study
from compliance.facts.dossier import Reproduction, RunManifest
from compliance.storage.new_folder import new_folder, require_new
from protocol.encoding import digest
from protocol.errors import WorkspaceRefused
from protocol.study.study import Study
from protocol.vectors.tensors import Tensors, encode_tensors

#: The files of locked versions beside the source files of a checkout, in the order of installing.
_LOCKS = ("requirements.lock", "torch-cpu.lock")


@dataclass(frozen=True, kw_only=True)
class KitRequest:
    """A kit that is to be written.

    Attributes:
        to: the new folder.
        study: the name of a bundled study, which is simulated first; unused with ``out``.
        out, run: the folder of a recorded simulation, and the run; the newest where None.
        data: with ``out``, the folder of the records that the run read; that of a bundled study
            where None.
        locks: files of locked versions that go with it.
        wheel: the built package that goes with it.
    """

    to: Path
    study: str = DEFAULT_STUDY
    out: Path | None = None
    run: str | None = None
    data: Path | None = None
    locks: tuple[Path, ...] = ()
    wheel: Path | None = None


def make_kit(asked: KitRequest, watch: Watch, record: Recording | None = None) -> dict[str, Any]:
    """Writes a kit; returns what ``--json`` shows.

    Args:
        asked: what, and where to.
        watch: shows the progress of a simulation.
        record: logs that the run of ``out`` is exported; needed with it.

    Raises:
        PolicyRefused: people are registered in ``out``, and none of them exports it.
        WorkspaceRefused: a run or records are named without ``out``, the run is no simulation whose
            draws follow from seeds, its records are not those that it read, or the folder cannot be
            written.
        StoreBroken: the records of the folder are not what was logged.
    """
    require_new(asked.to)  # before anything is simulated, which takes a while
    if asked.out is None and (asked.run is not None or asked.data is not None):
        raise WorkspaceRefused(
            "--run and --data are of a recorded simulation: name its folder with --out"
        )
    if asked.out is not None and record is None:
        raise WorkspaceRefused("an export of a run that is kept is logged: give what logs it")
    with _recorded(asked, watch) as (out, data), new_folder(asked.to) as draft:
        told = _fill(draft, asked, out, data, record)
    return {"folder": str(asked.to), **told}


@contextmanager
def _recorded(asked: KitRequest, watch: Watch) -> Iterator[tuple[Path, Path | None]]:
    """Yields the folder of a recorded run and that of its records; a new one without ``out``."""
    if asked.out is not None:
        yield asked.out, asked.data
        return
    bundled = bundled_study(asked.study)
    if bundled.data is None:
        raise WorkspaceRefused(
            f"the records of {asked.study} come with another package: a kit holds its records"
        )
    source = RerunSource(study=bundled.study, data=bundled.data, beside=bundled.document.parent)
    with tempfile.TemporaryDirectory(prefix="collegium-kit-") as folder:
        out = Path(folder) / "out"
        simulate_again(source, RerunSettings(test_noise=True), out, watch)
        yield out, bundled.data


def _fill(
    draft: Path, asked: KitRequest, out: Path, data: Path | None, record: Recording | None
) -> dict[str, Any]:
    run, manifest, study, exact, noise, model = _run_of(out, asked.run)
    _write_records(draft / RECORDS, manifest, data or _bundled_folder(study))
    (draft / STUDY_FILE).write_bytes(_study_bytes(study))
    (draft / MODEL).write_bytes(encode_tensors(model))
    crate = write_crate(out, CrateRequest(run=run, to=draft / EXPECTED), record)
    kept = KitRecord(run=run, test_noise=noise, exact=exact, crate=crate["sha256"])
    installs = _write_software(draft, asked, manifest)
    texts = {
        KIT: kept.to_bytes(),
        CHECK: CHECK_SCRIPT.encode(),
        README: readme(kept, manifest, study.title, installs).encode(),
    }
    for name, text in texts.items():
        (draft / name).write_bytes(text)
    return {
        "run": run,
        "study": study.digest,
        "kit": digest(texts[KIT]),
        "key": crate["checked"]["trusted_key"],
        "records": [one.name for one in manifest.files],
        "locked": [path.name for path in _locks(asked)],
        "wheel": None if asked.wheel is None else asked.wheel.name,
    }


def _run_of(
    out: Path, named: str | None
) -> tuple[str, RunManifest, Study, str | None, bool, Tensors]:
    """Returns a run that can be run again bit by bit: name, inputs and what it came to."""
    with recorded_run(out, named) as recorded:
        model, manifest = recorded.model(), recorded.manifest
        if recorded.how is not Reproduction.REPEATED or manifest is None or model is None:
            raise WorkspaceRefused(
                f"run {recorded.run_id} cannot be compared bit by bit: a kit is made of a finished "
                "simulation without privacy, or with --test-noise"
            )
        side = recorded.side()
        return (
            recorded.run_id, manifest, recorded.study, side.exact, recorded.test_noise, model
        )  # fmt: skip


def _write_records(to: Path, manifest: RunManifest, data: Path | None) -> None:
    """Copies the files that the run read, each once its digest was compared."""
    if data is None:
        raise WorkspaceRefused(
            "--data is missing: name the folder of the records that the run read"
        )
    for one in manifest.files:
        path = data / one.name
        if Path(one.name).is_absolute() or ".." in Path(one.name).parts:
            raise WorkspaceRefused(f"{one.name}: the run read no file below --data")
        if not path.is_file():
            raise WorkspaceRefused(f"--data {data} holds no {one.name}, which the run read")
        held = path.read_bytes()
        if digest(held) != one.digest:
            raise WorkspaceRefused(f"{one.name} in --data {data} is another than the run read")
        (to / one.name).parent.mkdir(parents=True, exist_ok=True)
        (to / one.name).write_bytes(held)
    licence = data / "LICENSE.md"
    if licence.is_file():
        shutil.copyfile(licence, to / licence.name)


def _bundled_folder(study: Study) -> Path | None:
    return next((one.data for one in _bundled(study)), None)


def _bundled(study: Study) -> Iterator[Any]:
    for one in BUNDLED_STUDIES.values():
        if one.study.digest == study.digest:
            yield one


def _study_bytes(study: Study) -> bytes:
    """Returns the bundled document of a study, with its comments; else its JSON, which is YAML."""
    for one in _bundled(study):
        return bytes(one.document.read_bytes())
    text = json.dumps(json.loads(study.canonical_bytes), indent=2, ensure_ascii=False)
    return f"{text}\n".encode()


def _locks(asked: KitRequest) -> tuple[Path, ...]:
    if asked.locks:
        return asked.locks
    root = Path(__file__).parents[4]
    found = tuple(root / name for name in _LOCKS)
    return found if all(path.is_file() for path in found) else ()


def _write_software(draft: Path, asked: KitRequest, manifest: RunManifest) -> str:
    """Writes locks and wheel, or a list of versions; returns the commands that install them."""
    locks, lines = _locks(asked), []
    for path in locks:
        if not path.is_file():
            raise WorkspaceRefused(f"--lock {path} is no file")
        shutil.copyfile(path, draft / path.name)
        lines.append(f"pip install --require-hashes --no-deps -r {path.name}")
    if not locks:
        versions = [
            f"{one.name}=={one.version}"
            for one in manifest.software.libraries
            if one.name != "collegium"
        ]
        (draft / REQUIREMENTS).write_text("\n".join(versions) + "\n", encoding="utf-8")
        lines.append(f"pip install --no-deps -r {REQUIREMENTS}")
    if asked.wheel is None:
        lines.append(f"pip install --no-deps 'collegium[silo]=={manifest.software.version}'")
    else:
        if not asked.wheel.is_file():
            raise WorkspaceRefused(f"--wheel {asked.wheel} is no file")
        shutil.copyfile(asked.wheel, draft / asked.wheel.name)
        lines.append(f"pip install --no-deps ./{asked.wheel.name}")
    return "\n".join(lines)
