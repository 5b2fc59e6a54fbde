"""The manifest of a run: every input that its result follows from, but for what is secret.

Rules:

1. It holds no name, time, path or key: two runs with equal manifests differ in nothing that is
   recorded here.
2. A seed stands here only where nothing secret follows from it. Keys of noise are never kept; a
   run that drew them has no ``draw_seed``.
3. It is canonical JSON (``protocol.codec``), and its digest is an entry of the log.

``Reproduction`` says what doing a run again can show.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any

from protocol.codec import (
    DIGEST,
    MAX_SITES,
    Digest,
    from_json,
    integer,
    list_of,
    map_of,
    nested,
    optional,
    require_forms,
    text,
    to_json,
)
from protocol.encoding import canonical, digest, parse_canonical
from protocol.errors import MessageRefused, StoreBroken

#: Printable ASCII: what versions, platforms and names of files are written in.
_WORDS = text(r"[ -~]{0,200}")
_SEED = integer(0, 2**53 - 1)
_MOST_LIBRARIES, _MOST_FILES = 5000, 2 * MAX_SITES
#: The devices that a simulation computes on.
CPU, GPU = "cpu", "gpu"
_DEVICE = text(f"{CPU}|{GPU}")


class Reproduction(StrEnum):
    """The way in which a run is reproduced: what doing it again can show."""

    #: All that was drawn follows from recorded seeds: the same model, bit by bit.
    REPEATED = "repeated"
    #: A simulation whose noise was secret: its kept sums bit by bit, its figures with new noise.
    REDRAWN = "redrawn"
    #: A run of real hospitals: from the masked vectors that they sent, onward.
    RECOMPUTED = "recomputed"


@dataclass(frozen=True, kw_only=True)
class Library:
    """An installed distribution and its version."""

    name: Annotated[str, _WORDS]
    version: Annotated[str, _WORDS]


@dataclass(frozen=True, kw_only=True)
class Software:
    """The software of one process.

    Attributes:
        version: of Collegium.
        code: the digest of its source files.
        python: the version of Python.
        distributions: the digest of ``libraries``.
        libraries: every installed distribution, by name.
        lock: the digest of the file of locked versions, where one lies beside the source files.
    """

    version: Annotated[str, _WORDS]
    code: Digest
    python: Annotated[str, _WORDS]
    distributions: Digest
    libraries: Annotated[tuple[Library, ...], list_of(nested(Library), _MOST_LIBRARIES)]
    lock: Annotated[str | None, optional(DIGEST)]

    @cached_property
    def versions(self) -> Mapping[str, str]:
        """The version of each distribution, by its name."""
        return {one.name: one.version for one in self.libraries}


@dataclass(frozen=True, kw_only=True)
class Platform:
    """The platform of one process: the rounding of floating-point numbers may depend on it."""

    system: Annotated[str, _WORDS]
    machine: Annotated[str, _WORDS]
    processor: Annotated[str, _WORDS]


@dataclass(frozen=True, kw_only=True)
class SiteInputs:
    """The inputs of one hospital.

    ``engine`` computed the gradients, as the hospital signed it. ``records`` is the digest of its
    records as they were split: of a simulation only, for a real hospital tells nobody.
    """

    engine: Annotated[str, _WORDS]
    records: Annotated[str | None, optional(DIGEST)]


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A file of a simulation's records, or of its split, by the name that the study gives it."""

    name: Annotated[str, _WORDS]
    digest: Digest


@dataclass(frozen=True, kw_only=True)
class RunManifest:
    """The inputs of a run.

    Attributes:
        study: the digest of the study, which holds all seeds but ``draw_seed``.
        draw_seed: where batches, and fixed test noise, were drawn from; None where they were drawn
            from secret keys that nobody kept.
        micro_batch: patients whose gradients are computed at once.
        workers, device: of each simulated hospital; None for real hospitals, which do not tell.
        threads: of each worker: one, so that sums of numbers have one order.
        initial_model: the digest of the parameters that training began from.

    Raises:
        ValueError: a field has another form.
    """

    v: Annotated[int, integer(1, 1)] = 1
    study: Digest
    model_seed: Annotated[int, _SEED]
    split_seed: Annotated[int, _SEED]
    partition_seed: Annotated[int | None, optional(_SEED)]
    draw_seed: Annotated[int | None, optional(_SEED)]
    micro_batch: Annotated[int, integer(0, 2**31)]
    workers: Annotated[int | None, optional(integer(1, 2**16))]
    device: Annotated[str | None, optional(_DEVICE)]
    threads: Annotated[int, integer(1, 2**16)] = 1
    initial_model: Digest
    files: Annotated[tuple[DataFile, ...], list_of(nested(DataFile), _MOST_FILES)]
    sites: Annotated[Mapping[str, SiteInputs], map_of(nested(SiteInputs), MAX_SITES)]
    software: Annotated[Software, nested(Software)]
    platform: Annotated[Platform, nested(Platform)]

    def __post_init__(self) -> None:
        require_forms(self)

    @cached_property
    def canonical_bytes(self) -> bytes:
        """The bytes that are kept; the inverse is ``parse_manifest``."""
        return canonical(to_json(self))

    @cached_property
    def digest(self) -> str:
        """The digest that the log holds."""
        return digest(self.canonical_bytes)

    @property
    def seeds(self) -> Mapping[str, int]:
        """Every seed that is no secret, by its name in the study; ``draws`` stands in no study."""
        named = {
            "seeds.model": self.model_seed,
            "seeds.split": self.split_seed,
            "partition.how.seed": self.partition_seed,
            "draws": self.draw_seed,
        }
        return {name: seed for name, seed in named.items() if seed is not None}

    def short_json(self) -> dict[str, Any]:
        """Returns the manifest and its digest as JSON, without the list of libraries."""
        said: dict[str, Any] = to_json(self)
        software = {name: value for name, value in said["software"].items() if name != "libraries"}
        return {"digest": self.digest, **said, "software": software}


def parse_manifest(document: str) -> RunManifest:
    """Returns the manifest that a run's records keep.

    Raises:
        StoreBroken: it is none.
    """
    try:
        return from_json(RunManifest, parse_canonical(document.encode()))
    except MessageRefused as error:
        raise StoreBroken(f"the manifest of a run is damaged: {error}") from error


def reproduction_of(
    manifest: RunManifest | None, *, simulation: bool, test_noise: bool
) -> Reproduction:
    """Returns how a run is reproduced.

    >>> reproduction_of(None, simulation=True, test_noise=True).value
    'repeated'
    """
    if not simulation:
        return Reproduction.RECOMPUTED
    drawn_from_seed = manifest is not None and manifest.draw_seed is not None
    return Reproduction.REPEATED if test_noise or drawn_from_seed else Reproduction.REDRAWN


def printable(words: str) -> str:
    """Returns text as a manifest may hold it: printable ASCII, cut where it is too long.

    >>> printable("grüner Prozessor")
    'gr?ner Prozessor'
    """
    return "".join(letter if " " <= letter <= "~" else "?" for letter in words)[:200]


def distributions_digest(libraries: Sequence[Library]) -> str:
    """Returns the digest of a list of libraries."""
    return digest(canonical([to_json(one) for one in libraries]))
