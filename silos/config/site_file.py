"""The site file: what a hospital's officers allow, where its records lie, what it may use.

Rules:

1. It belongs to the hospital; nobody else reads or writes it.
2. Safe by default: an empty list allows nothing. Whatever is not written down
   is not allowed.
3. It is read afresh whenever a study asks to join, so that a change counts at once.

YAML 1.2, read like a study (``protocol.study.documents.yaml_document``).
"""

import re
from collections.abc import Sequence
from datetime import time
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from pipelines.sources.csv_table import AS_DECLARED, CsvDialect
from protocol.errors import SiteFileRefused
from protocol.study.cohort.cohort import Decimal, Delimiter, Encoding
from protocol.study.documents.yaml_document import DocumentForm, read_document
from protocol.study.frozen_model import FrozenModel
from protocol.study.study import Digest, Name, Split, nearest
from protocol.study.task.networks.registry import NETWORKS as KNOWN_NETWORKS
from protocol.study.task.recipes import RecipePackage
from protocol.study.task.task import LABEL_FORMS
from silos.config.attestation import AttestationPolicy
from silos.config.folder import SITE_FILE
from silos.config.patient_statement import NOTHING_STATED, PatientStatement
from silos.training.worker_pool.cluster_address import host_and_port

_HOURS = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-(?:([01][0-9]|2[0-3]):([0-5][0-9])|24:00)")
_WORDS = re.compile(r"\w+")


def _names(union: Any, key: str) -> tuple[str, ...]:
    """Returns the names that tell the members of a study's union apart."""
    members = get_args(get_args(union)[0])
    return tuple(get_args(member.model_fields[key].annotation)[0] for member in members)


#: What a study can name, and a policy allow.
NETWORKS = tuple(KNOWN_NETWORKS)
SPLITS = _names(Split, "method")
TASKS: tuple[str, ...] = tuple(LABEL_FORMS)


def _one_of(known: tuple[str, ...]) -> Any:
    def check(value: str) -> str:
        if value not in known:
            hint = nearest(value, list(known))
            raise ValueError(f"must be one of {', '.join(known)}{hint}")
        return value

    return Annotated[
        str, AfterValidator(check), Field(json_schema_extra={"enum": list[Any](known)})
    ]


def _has_words(phrase: str) -> str:
    if not words_of(phrase):
        raise ValueError("must hold a word")
    return phrase


def words_of(text: str) -> tuple[str, ...]:
    """Returns a text's words without case or punctuation.

    >>> words_of("Heart-disease, in 4 hospitals.")
    ('heart', 'disease', 'in', '4', 'hospitals')
    """
    return tuple(_WORDS.findall(text.casefold()))


Phrase: TypeAlias = Annotated[
    str, StringConstraints(min_length=1, max_length=200), AfterValidator(_has_words)
]
Column: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Person: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)
]


def _is_file(path: str) -> str:
    if "://" in path:
        raise ValueError(
            "is an address: name a file (a database's table or query, exported as CSV in UTF-8)"
        )
    return path


class FileSource(FrozenModel):
    """Records in a file: a CSV, or an npz of images; a path is taken from the site file's folder.

    Other kinds of source (a database, a FHIR server) will stand beside this one.

    ``patient_number`` names the column that holds this hospital's own number of a
    person, the same for life and in every data set; ``one_row_is_one_person`` says
    that no person has two rows. Nothing is taken for granted (``patient_statement``).
    ``delimiter``, ``decimal`` and ``encoding`` say how a CSV is written where it is not as
    the study says; what its cells mean is the study's.
    """

    kind: Literal["file"]
    path: Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(_is_file)]
    delimiter: Delimiter | None = None
    decimal: Decimal | None = None
    encoding: Encoding | None = None
    patient_number: Column | None = None
    one_row_is_one_person: bool = False


class AllowedRecipe(FrozenModel):
    """A recipe that studies may take code from: the SHA-256 of its wheel, and where that lies.

    The wheel is a file of the hospital's own; a path is taken from the site file's folder.
    """

    wheel: Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"\.whl$")]
    sha256: Digest


class Policy(FrozenModel):
    """The requirements that a study must meet to be allowed here.

    ``purposes`` are phrases: the purpose that a study states must hold one of
    them, word for word, in any case. ``pretrained`` are the SHA-256 of files of parameters that a
    study may start from, ``recipes`` the packages that it may take code from. ``columns`` are all
    that a study may read, the label, the patient key and the split column included; of an image
    cohort they are ``images``, ``labels`` and the patient key. ``sites`` is how many
    hospitals' updates a sum must hold at least; ``colluders`` how many of the others may
    collude with the coordinator without seeing ours; ``patients`` how many of its
    own a study must be able to count on. ``attestation`` is what the other members
    must show about their machines. Epsilon and delta are one study's; the
    patients' budget for life stands in the hospital's database.
    """

    purposes: tuple[Phrase, ...] = ()
    tasks: tuple[_one_of(TASKS), ...] = ()  # type: ignore[valid-type]
    networks: tuple[_one_of(NETWORKS), ...] = ()  # type: ignore[valid-type]
    pretrained: tuple[Digest, ...] = ()
    recipes: tuple[AllowedRecipe, ...] = ()
    columns: tuple[Column, ...] = ()
    splits: tuple[_one_of(SPLITS), ...] = ("keyed_hash",)  # type: ignore[valid-type]
    sites: int = Field(default=3, ge=3, le=100)
    colluders: int = Field(default=1, ge=0, le=98)
    patients: int = Field(default=10, ge=1)
    modes: tuple[Literal["per_site", "distributed"], ...] = ("per_site",)
    units: tuple[Literal["patient", "record"], ...] = ("patient",)
    epsilon_at_most: float = Field(default=1.0, gt=0, le=1000)
    delta_at_most: float = Field(default=1e-5, gt=0, lt=1)
    approvers: tuple[Person, ...] = ()
    approvals_needed: int = Field(default=1, ge=1, le=10)
    attestation: AttestationPolicy | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Policy":
        if len(set(self.approvers)) != len(self.approvers):
            raise ValueError("a person is named twice among the approvers")
        if self.approvers and self.approvals_needed > len(self.approvers):
            raise ValueError(
                f"approvals_needed is {self.approvals_needed}, but only "
                f"{len(self.approvers)} approvers are named"
            )
        return self

    def missing(self, packages: Sequence[RecipePackage]) -> tuple[RecipePackage, ...]:
        """Returns those of a study's packages that are not among ``recipes``."""
        allowed = {recipe.sha256 for recipe in self.recipes}
        return tuple(package for package in packages if package.sha256 not in allowed)


def _are_hours(text: str) -> str:
    found = _HOURS.fullmatch(text)
    if found is None:
        raise ValueError("must look like 20:00-06:00")
    if text[:5] == text[6:] or text == "00:00-24:00":
        raise ValueError("is the whole day: leave hours out")
    return text


def _is_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError("is no time zone such as Europe/Berlin, or this machine has none") from (
            error
        )
    return name


def _is_ray_address(text: str) -> str:
    try:
        host_and_port(text)
    except ValueError as error:
        raise ValueError(
            "must look like ray-head.hospital.example:6379: a name or an IPv4 address, and a port"
        ) from error
    return text


class Resources(FrozenModel):
    """The part of the hospital's machine that a study may use.

    ``workers`` are processes that compute gradients, each of ``threads``
    threads; together they may hold ``memory_gib``. With ``gpu`` one worker computes on this
    machine's GPU, and torch may allocate ``gpu_memory_gib`` of its memory; left out, all of it.
    ``memory_gib`` then limits nothing: CUDA crashes where the kernel refuses memory.
    ``ray_address`` (``host:port``) is the head of a Ray cluster of this hospital's own, and
    ``ray_token_file`` holds its token, for its owner alone; a path is taken from the site file's
    folder. The workers are then on its nodes, each with a CPU, its part of ``memory_gib`` and,
    with ``gpu``, a GPU of its own. Training has the network then, so it cannot be
    ``must_be_confined``.
    ``hours`` are when a study may take part in a round, in ``time_zone``; left out, it may at
    any time.
    ``must_be_confined``: nothing trains where the kernel does not keep it from
    this hospital's files and from the network.
    """

    workers: int = Field(default=1, ge=1, le=64)
    threads: int = Field(default=1, ge=1, le=256)
    memory_gib: float = Field(default=4.0, gt=0, le=65536)
    gpu: bool = False
    gpu_memory_gib: float | None = Field(default=None, ge=0.5, le=65536)
    ray_address: Annotated[str, AfterValidator(_is_ray_address)] | None = None
    ray_token_file: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    must_be_confined: bool = False
    hours: Annotated[str, AfterValidator(_are_hours)] | None = None
    time_zone: Annotated[str, AfterValidator(_is_zone)] = "UTC"

    @model_validator(mode="after")
    def _enough(self) -> "Resources":
        if self.memory_gib < self.workers:
            raise ValueError(
                f"memory_gib is {self.memory_gib:g}: {self.workers} workers need 1 each at least, "
                "for libraries alone take 0.6"
            )
        if self.gpu and self.workers > 1 and self.ray_address is None:
            raise ValueError(f"gpu is true, and workers {self.workers}: one uses the GPU, set 1")
        if (self.ray_address is None) != (self.ray_token_file is None):
            raise ValueError(
                "ray_address and ray_token_file go together: name the cluster's head and the file "
                "that holds its token, or leave both out"
            )
        if self.ray_address is not None and self.must_be_confined:
            raise ValueError(
                "must_be_confined is true, and ray_address names a cluster, to which training "
                "needs the network: leave ray_address out and train on this machine, or set "
                "must_be_confined: false"
            )
        if self.gpu_memory_gib is not None and not self.gpu:
            raise ValueError(
                f"gpu_memory_gib is {self.gpu_memory_gib:g}, and gpu is false: set gpu: true, or "
                "leave gpu_memory_gib out"
            )
        return self

    @property
    def bytes_each(self) -> int:
        """The memory that each worker may hold, in bytes."""
        return int(self.memory_gib * 2**30 / self.workers)

    @property
    def gpu_bytes(self) -> int | None:
        """The memory of the GPU that training may hold, in bytes; None where nothing is said."""
        return None if self.gpu_memory_gib is None else int(self.gpu_memory_gib * 2**30)

    @property
    def opening(self) -> tuple[time, time] | None:
        """From when until when, in ``time_zone``; None at any time. 24:00 is midnight."""
        if self.hours is None:
            return None
        start, end = self.hours.split("-")
        return time.fromisoformat(start), time.fromisoformat(end.replace("24:00", "00:00"))


def _is_address(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError("must look like https://collegium.example.org:8443") from error
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme != "https" or not host or extra:
        raise ValueError("must look like https://collegium.example.org:8443")
    return url.rstrip("/")


Recipient: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^(age1[0-9a-z]{50,100}|ssh-(ed25519|rsa) \S{50,3000}.*)$")
]


class Backup(FrozenModel):
    """The keys that can open this hospital's backups: age recipients, or OpenSSH public keys."""

    ledger: tuple[Recipient, ...] = ()
    keys: tuple[Recipient, ...] = ()


class SiteFile(FrozenModel):
    """One hospital's site file.

    ``database`` is the address of a PostgreSQL database of this hospital's own;
    left out, the ledger lies in ``hospital.db`` beside this file. Private keys lie in
    ``hospital-keys`` beside this file in either case.
    """

    collegium_site: Literal[1]
    name: Name
    coordinator: Annotated[str, AfterValidator(_is_address)] | None = None
    database: Annotated[str, StringConstraints(pattern=r"^postgresql://\S{1,1000}$")] | None = None
    data: FileSource | None = None
    policy: Policy = Field(default_factory=Policy)
    resources: Resources = Field(default_factory=Resources)
    backup: Backup = Field(default_factory=Backup)

    @property
    def stated(self) -> PatientStatement:
        """The hospital's statement about whose its records are."""
        if self.data is None:
            return NOTHING_STATED
        return PatientStatement(
            patient_number=self.data.patient_number,
            one_row_is_one_person=self.data.one_row_is_one_person,
        )

    @property
    def dialect(self) -> CsvDialect:
        """The CSV dialect of the hospital's own file, where not as a study says."""
        if self.data is None:
            return AS_DECLARED
        data = self.data
        return CsvDialect(delimiter=data.delimiter, decimal=data.decimal, encoding=data.encoding)

    @model_validator(mode="after")
    def _consistent(self) -> "SiteFile":
        if self.name == "coordinator":
            raise ValueError("no hospital may be called coordinator: another party is")
        return self


_FORM = DocumentForm(
    record=SiteFile, noun="site file", refusal=SiteFileRefused, see="docs/hospital.md"
)


def read_site_file(text: str, source: str = SITE_FILE) -> SiteFile:
    """Returns the site file written in ``text``.

    Raises:
        SiteFileRefused: one line per problem, see ``yaml_document.read_document``.
    """
    return read_document(text, _FORM, source)


def site_file_of(home: Path) -> SiteFile:
    """Returns the site file in a hospital's home.

    Raises:
        SiteFileRefused: it cannot be read, or is wrong; says where.
    """
    path = home / SITE_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SiteFileRefused(
            f"{path}: cannot be read: {reason}; collegium silo init makes one"
        ) from error
    return read_site_file(text, str(path))


def source_path(site: SiteFile, home: Path) -> Path:
    """Returns where a hospital's records lie.

    Raises:
        SiteFileRefused: the site file does not say.
    """
    if site.data is None:
        raise SiteFileRefused(
            f"{home / SITE_FILE}: data is missing: say where the records lie, for example "
            "data: {kind: file, path: records.csv}"
        )
    return home / site.data.path


def site_schema() -> dict[str, Any]:
    """Returns the JSON Schema of a site file, for editors."""
    schema = SiteFile.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "A Collegium site file"
    return schema
