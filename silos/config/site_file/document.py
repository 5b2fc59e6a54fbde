"""The site file as a document: read from YAML 1.2 as a study is, with every problem told."""

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from pipelines.sources.source import Source
from protocol.errors import SiteFileRefused
from protocol.study.documents.yaml_document import DocumentForm, read_document
from protocol.study.frozen_model import FrozenModel
from protocol.study.study import Name
from silos.config.folder import SITE_FILE
from silos.config.patient_statement import NOTHING_STATED, PatientStatement
from silos.config.site_file.data import Data
from silos.config.site_file.inference_rules import InferenceRules
from silos.config.site_file.policy_section import Phrase, Policy
from silos.config.site_file.resources import Resources
from silos.config.site_file.value_forms import IdentifierSystem, PathText


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


class PatientRules(FrozenModel):
    """The hospital's rules about its patients' consent, and how long it keeps what a run needed.

    ``consent`` is a CSV of this hospital's (docs/patients.md), or a folder of FHIR's Consent
    resources as NDJSON, whose patients are named by the system ``identifier`` (left out, by the
    Patient's id), and whose codes of purposes (``SYSTEM|CODE``) ``purposes`` puts into words; a
    path is taken from the site file's folder. ``required``: only patients who consented to a
    study's purpose enter it; else all but those who refused. ``retention_days`` after a run's end
    ``silo patients retention`` deletes what it needed; left out, it deletes nothing.
    """

    consent: PathText | None = None
    identifier: IdentifierSystem | None = None
    purposes: dict[str, Phrase] = Field(default_factory=dict)
    required: bool = False
    retention_days: int | None = Field(default=None, ge=0, le=36500)

    @model_validator(mode="after")
    def _consistent(self) -> "PatientRules":
        if self.required and self.consent is None:
            raise ValueError("required: name the file of consents: consent: consent.csv")
        return self


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
    data: Data | None = None
    policy: Policy = Field(default_factory=Policy)
    patients: PatientRules = Field(default_factory=PatientRules)
    inference: InferenceRules = Field(default_factory=InferenceRules)
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


def source_of(site: SiteFile, home: Path) -> Source:
    """Returns what reads a hospital's records; nothing is opened yet.

    Raises:
        SiteFileRefused: the site file does not say where they lie.
    """
    if site.data is None:
        raise SiteFileRefused(
            f"{home / SITE_FILE}: data is missing: say where the records lie, for example "
            "data: {kind: file, path: records.csv}"
        )
    return site.data.source(home)


def site_schema() -> dict[str, Any]:
    """Returns the JSON Schema of a site file, for editors."""
    schema = SiteFile.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "A Collegium site file"
    return schema
