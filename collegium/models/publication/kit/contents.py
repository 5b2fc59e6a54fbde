"""The files of a kit, and what is expected of whoever runs it again.

::

    KIT/
      README.md          what it is and the one command
      check.py           that command, for a Python with Collegium installed
      kit.json           what is expected, as far as the crate does not say it
      study.yaml         the study
      records/           the records and the split that it names
      expected/          the crate of the recorded run
      model.safetensors  the final parameters of the recorded run
      *.lock, *.whl      the software, where it was given; else requirements.txt
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from collegium.models.publication.crate import verify_crate
from collegium.models.publication.crate.files import COURSE, MANIFEST_FILE, STUDY
from collegium.models.reproduction import CourseStep, RunInputs, RunSide
from compliance.facts.dossier import RunManifest, parse_manifest
from protocol.encoding import digest
from protocol.errors import MessageRefused, StoreBroken, WorkspaceRefused
from protocol.vectors.tensors import Tensors, decode_tensors, model_digest

README, CHECK, KIT, STUDY_FILE = "README.md", "check.py", "kit.json", "study.yaml"
RECORDS, EXPECTED, MODEL, REQUIREMENTS = (
    "records",
    "expected",
    "model.safetensors",
    "requirements.txt",
)
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class KitRecord:
    """The record of a run in ``kit.json``.

    Attributes:
        run: its name.
        test_noise: whether noise was drawn from the seed.
        exact: the digest of its exact figures; None where it has none.
        crate: the digest of the description of the crate in ``expected``.
    """

    run: str
    test_noise: bool
    exact: str | None
    crate: str
    kit: int = _FORMAT

    def to_bytes(self) -> bytes:
        """Returns the file's bytes; the inverse of ``read_record``."""
        return (json.dumps(asdict(self), indent=2) + "\n").encode()


@dataclass(frozen=True, kw_only=True)
class ExpectedRun:
    """The recorded run, as it is compared with what running it again gives.

    Attributes:
        record: of ``kit.json``.
        manifest: the run's.
        side: what its rounds came to.
        model: its final parameters.
        key: of the log with which its proofs were checked (32 bytes).
    """

    record: KitRecord
    manifest: RunManifest
    side: RunSide
    model: Tensors
    key: bytes


def expected_run(folder: Path, public: bytes | None = None) -> ExpectedRun:
    """Returns what a kit expects, once its crate was checked.

    Args:
        folder: the kit.
        public: the log's key that is trusted; the one in the kit when None.

    Raises:
        WorkspaceRefused: the folder is no kit.
        MessageRefused: what it expects was changed, or another key proves it.
    """
    record = _record(folder)
    crate = folder / EXPECTED
    told = verify_crate(crate, public)
    if digest((crate / "ro-crate-metadata.json").read_bytes()) != record.crate:
        raise MessageRefused(f"{EXPECTED} is another crate than {KIT} names")
    try:
        manifest = parse_manifest((crate / MANIFEST_FILE).read_text(encoding="utf-8"))
    except (OSError, StoreBroken) as error:
        raise MessageRefused(f"{EXPECTED}/{MANIFEST_FILE} is missing or damaged") from error
    course: dict[str, Any] = json.loads((crate / COURSE).read_bytes())
    if course.get("run") != record.run:
        raise MessageRefused(f"{EXPECTED} is of another run than {KIT}")
    study = json.loads((crate / STUDY).read_bytes())
    side = RunSide(
        run_id=record.run,
        inputs=RunInputs(study=study, manifest=manifest, test_noise=record.test_noise),
        steps=_steps(course),
        model=course.get("model"),
        exact=record.exact,
        figure=None,
    )
    if told["study"] != manifest.study:
        raise MessageRefused(f"{EXPECTED} is of another study than its manifest")
    model = _model(folder, side.model)
    key = bytes.fromhex(told["trusted_key"])
    return ExpectedRun(record=record, manifest=manifest, side=side, model=model, key=key)


def _steps(course: dict[str, Any]) -> tuple[CourseStep, ...]:
    try:
        return tuple(
            CourseStep(name=one["round"], result=one["result"], sites=tuple(one["hospitals"]))
            for one in course["rounds"]
        )
    except (KeyError, TypeError) as error:
        raise MessageRefused(f"{EXPECTED}/{COURSE} tells no rounds") from error


def _model(folder: Path, wanted: str | None) -> Tensors:
    try:
        model = decode_tensors((folder / MODEL).read_bytes())
    except OSError as error:
        raise MessageRefused(f"{MODEL} is missing") from error
    if model_digest(model) != wanted:
        raise MessageRefused(f"{MODEL} is not the model of the recorded run")
    return model


def _record(folder: Path) -> KitRecord:
    path = folder / KIT
    if not path.is_file():
        raise WorkspaceRefused(f"{folder} holds no {KIT}: it is no kit")
    try:
        said = json.loads(path.read_bytes())
        record = KitRecord(**said)
    except (ValueError, TypeError, RecursionError) as error:
        raise MessageRefused(f"{KIT} is damaged") from error
    if record.kit != _FORMAT:
        raise MessageRefused(f"{KIT} is of format {record.kit}, and this software reads {_FORMAT}")
    return record


#: The one command: it runs Collegium's own, with this folder.
CHECK_SCRIPT = '''"""Runs the study in this folder again, and says whether it comes to the same."""

import sys
from pathlib import Path

from collegium.cli.main import main

sys.argv[1:] = ["kit", "check", str(Path(__file__).resolve().parent), *sys.argv[1:]]
if __name__ == "__main__":
    main()
'''


def readme(record: KitRecord, manifest: RunManifest, title: str, installs: str) -> str:
    """Returns the page that explains a kit."""
    names = "\n".join(f"* `{RECORDS}/{one.name}`" for one in manifest.files)
    software = manifest.software
    return f"""# {title}: done again

This folder holds a study of simulated hospitals, the public records that it ran on, and what it
came to when it was recorded as run `{record.run}`. One command runs it again and compares, bit by
bit.

## Install

With Python {software.python.rpartition(".")[0]} or newer, in an environment of its own:

```
{installs}
```

The run was recorded with Collegium {software.version}, Python {software.python}, on
{manifest.platform.system} ({manifest.platform.machine}).

## Check

```
python {CHECK}
```

* Exit code 0, `identical`: every round's model, every released figure, the exact figures and the
  final model are equal bit by bit. Or `within tolerance`: the final models are at most 1e-4 of
  their norm apart, as another processor rounds.
* Exit code 1, `different: first at ROUND, because ...`: the cause that is recorded is named.
* Exit code 2: something has to be mended first, or what is expected was changed.

`python {CHECK} --keep again` keeps what was run; `--json` writes the answer as JSON.

## Try it

Change a seed in `{STUDY_FILE}` or a line of a file in `{RECORDS}`, and run it once more: the answer
names what you changed.

{names}

`{EXPECTED}` is an RO-Crate of the recorded run. `collegium runs verify-crate {EXPECTED}` checks it.
A kit is first shown to agree with itself. `--key` takes the public key of the log from whoever
recorded the run, and a kit that somebody else made or recorded anew is refused.
No privacy is claimed of this run: what was drawn in it follows from seeds that are written here.
"""
