"""Differences between the inputs of two runs, in the order in which they explain another result.

Pure: two studies and two manifests in. A changed study explains most, then a data file, then
software, then the engine of the gradients, then the machine.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from compliance.facts.dossier import RunManifest, Software

#: The kinds of differences, in their order.
STUDY, DATA, SOFTWARE, ENGINE, MACHINE = "study", "data", "software", "engine", "machine"
#: Libraries that compute; others that differ are named after them.
_COMPUTING = (
    "torch", "numpy", "opacus", "monai", "scipy", "scikit-learn", "pandas", "dp-accounting",
    "cryptography", "ray",
)  # fmt: skip
#: So many of one sort are named.
_MOST = 5


@dataclass(frozen=True, kw_only=True)
class InputDifference:
    """One difference, of one of the kinds, in words."""

    kind: str
    text: str


@dataclass(frozen=True, kw_only=True)
class RunInputs:
    """The inputs of one run; ``manifest`` is None of a run that an earlier version made.

    ``test_noise`` says whether its noise was a test's, which follows from a seed.
    """

    study: Mapping[str, Any]
    manifest: RunManifest | None
    test_noise: bool = False


def differences(before: RunInputs, after: RunInputs) -> tuple[InputDifference, ...]:
    """Returns the differences between two runs' inputs, those that explain most first."""
    found = [*_of_noise(before, after), *_of_study(before.study, after.study)]
    if before.manifest is not None and after.manifest is not None:
        one, other = before.manifest, after.manifest
        found += [
            *_of_draws(one, other),
            *_of_data(one, other),
            *_of_software(one.software, other.software),
            *_of_engines(one, other),
            *_of_machines(one, other),
        ]
    return tuple(found)


def _of_noise(before: RunInputs, after: RunInputs) -> Iterator[InputDifference]:
    if before.test_noise != after.test_noise:
        told = {True: "a test's, from a seed", False: "a study's own"}
        text = f"the noise was {told[after.test_noise]}, before {told[before.test_noise]}"
        yield InputDifference(kind=STUDY, text=text)


def _of_study(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[InputDifference]:
    one, other = dict(_flat(before)), dict(_flat(after))
    names = sorted(
        (name for name in one.keys() | other.keys() if one.get(name) != other.get(name)),
        key=lambda name: (not name.endswith(("seed", "seeds.model", "seeds.split")), name),
    )
    for name in names[:_MOST]:
        text = f"the study says {name} {_shown(other, name)}, it was {_shown(one, name)}"
        yield InputDifference(kind=STUDY, text=text)
    if len(names) > _MOST:
        more = f"the study differs in {len(names) - _MOST} other places"
        yield InputDifference(kind=STUDY, text=more)


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the leaves of a JSON value, each with its path."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple) and value:
        for place, inner in enumerate(value):
            yield from _flat(inner, f"{path}[{place}]")
    else:
        yield path, value


def _shown(values: Mapping[str, Any], name: str) -> str:
    return f"{values[name]}"[:60] if name in values else "left out"


def _of_draws(before: RunManifest, after: RunManifest) -> Iterator[InputDifference]:
    if before.draw_seed != after.draw_seed and None not in (before.draw_seed, after.draw_seed):
        text = f"batches were drawn from seed {after.draw_seed}, before from {before.draw_seed}"
        yield InputDifference(kind=STUDY, text=text)


def _of_data(before: RunManifest, after: RunManifest) -> Iterator[InputDifference]:
    one = {file.name: file.digest for file in before.files}
    other = {file.name: file.digest for file in after.files}
    changed = [name for name in sorted(one.keys() & other.keys()) if one[name] != other[name]]
    for name in changed:
        text = (
            f"the data file {name} is another: its digest is {other[name][:16]}, it was "
            f"{one[name][:16]}"
        )
        yield InputDifference(kind=DATA, text=text)
    if one.keys() != other.keys():
        named = ", ".join(sorted(one.keys() ^ other.keys()))
        yield InputDifference(kind=DATA, text=f"only one of the runs read {named}")
    sites = [
        site
        for site in sorted(before.sites.keys() & after.sites.keys())
        if before.sites[site].records != after.sites[site].records
    ]
    if sites and not changed:
        text = f"the records of {', '.join(sites)} are others, or were split otherwise"
        yield InputDifference(kind=DATA, text=text)


def _of_software(before: Software, after: Software) -> Iterator[InputDifference]:
    for text in _software_texts(before, after):
        yield InputDifference(kind=SOFTWARE, text=text)


def _software_texts(before: Software, after: Software) -> Iterator[str]:
    one, other = before.versions, after.versions
    own = "collegium"
    names = sorted(
        (name for name in (one.keys() | other.keys()) - {own} if one.get(name) != other.get(name)),
        key=lambda name: (
            _COMPUTING.index(name) if name in _COMPUTING else len(_COMPUTING),
            name,
        ),
    )
    computing = [name for name in names if name in _COMPUTING]
    for name in computing:
        yield _version(one, other, name)
    if before.python != after.python:
        yield f"Python is {after.python}, it was {before.python}"
    if before.code != after.code:
        yield (
            f"Collegium's own code is another: version {after.version}, code {after.code[:16]}; it "
            f"was {before.version}, {before.code[:16]}"
        )
    others = names[len(computing) :]
    for name in others[:_MOST]:
        yield _version(one, other, name)
    if len(others) > _MOST:
        yield f"{len(others) - _MOST} other libraries differ"


def _version(before: Mapping[str, str], after: Mapping[str, str], name: str) -> str:
    now = after.get(name, "not installed")
    return f"the library {name} is {now}, it was {before.get(name, 'not installed')}"


def _of_engines(before: RunManifest, after: RunManifest) -> Iterator[InputDifference]:
    for site in sorted(before.sites.keys() & after.sites.keys()):
        one, other = before.sites[site].engine, after.sites[site].engine
        if one != other:
            text = f"the gradients of {site} were computed by {other!r}, before by {one!r}"
            yield InputDifference(kind=ENGINE, text=text)


def _of_machines(before: RunManifest, after: RunManifest) -> Iterator[InputDifference]:
    pairs = (
        ("the device", before.device, after.device),
        ("the number of threads of a worker", before.threads, after.threads),
        ("the number of workers of a hospital", before.workers, after.workers),
        ("the operating system", before.platform.system, after.platform.system),
        ("the architecture", before.platform.machine, after.platform.machine),
        ("the processor", before.platform.processor, after.platform.processor),
    )
    for what, one, other in pairs:
        if one != other:
            yield InputDifference(kind=MACHINE, text=f"{what} is {other}, it was {one}")
