"""The policy of a site file: the requirements that a study must meet to be allowed."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from protocol.study.cohort.clinical import Code, ConceptId
from protocol.study.frozen_model import FrozenModel
from protocol.study.study import Digest, Split, nearest
from protocol.study.task.networks.registry import NETWORKS as KNOWN_NETWORKS
from protocol.study.task.recipes import RecipePackage
from protocol.study.task.task import LABEL_FORMS
from protocol.transport.privacy_summary import is_name
from silos.config.attestation import AttestationPolicy
from silos.config.site_file.record_place import Column

_WORDS = re.compile(r"\w+")


def _names(union: Any, key: str) -> tuple[str, ...]:
    """Returns the names that tell the members of a study's union apart."""
    members = get_args(get_args(union)[0])
    return tuple(get_args(member.model_fields[key].annotation)[0] for member in members)


#: What a study can name, and a policy allow.
NETWORKS = tuple(KNOWN_NETWORKS)
#: The ways of a split that a study can name, and a policy allow.
SPLITS = _names(Split, "method")
#: The kinds of task that a study can name, and a policy allow.
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
Person: TypeAlias = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)
]


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
    cohort they are ``images``, ``labels`` and the patient key. ``clinical`` is all that a study may
    ask OMOP or FHIR records for: concepts or codes, as the study lists them. ``sites`` is how many
    hospitals' updates a sum must hold at least; ``colluders`` how many of the others may
    collude with the coordinator without seeing ours; ``patients`` how many of its
    own a study must be able to count on. ``attestation`` is what the other members
    must show about their machines; ``witnesses`` a file beside the site file (a tlog-policy) that
    says which witnesses must have cosigned the log's head under which a round is opened.
    ``name_approvers`` lets the coordinator know who approved a study here, and when. Epsilon
    and delta are one study's; the patients' budget for life stands in the hospital's database.
    """

    purposes: tuple[Phrase, ...] = ()
    tasks: tuple[_one_of(TASKS), ...] = ()  # type: ignore[valid-type]
    networks: tuple[_one_of(NETWORKS), ...] = ()  # type: ignore[valid-type]
    pretrained: tuple[Digest, ...] = ()
    recipes: tuple[AllowedRecipe, ...] = ()
    columns: tuple[Column, ...] = ()
    clinical: tuple[Literal["age", "sex", "death"] | ConceptId | Code, ...] = ()
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
    name_approvers: bool = False
    attestation: AttestationPolicy | None = None
    witnesses: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Policy":
        if len(set(self.approvers)) != len(self.approvers):
            raise ValueError("a person is named twice among the approvers")
        unreadable = [name for name in self.approvers if not is_name(name)]
        if self.name_approvers and unreadable:
            raise ValueError(f"the approver {unreadable[0]!r} cannot be named: it cannot be read")
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
