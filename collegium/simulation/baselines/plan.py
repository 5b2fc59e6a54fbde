"""The trainings that a federation is compared with, and the study that each one follows.

Every training has the study's network, initial parameters, gradient steps, learning rate and clip;
what differs is whose records it sees, and whether there is noise. It starts nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from compliance.facts.comparison.baselines import (
    ALL_BUT,
    FEDERATED,
    LOCAL,
    POOLED,
    key_of,
    noise_text,
    text_of,
)
from protocol.errors import StudyRefused
from protocol.study.privacy import NoPrivacy
from protocol.study.study import Study
from protocol.study.variants import without_choices


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """One training.

    Attributes:
        kind: whose records it sees: ``LOCAL``, ``FEDERATED``, ``POOLED`` or ``ALL_BUT``.
        site: the hospital that trains alone, or is left out; None of the others.
        noised: whether it has the study's privacy.
        study: what is trained, by the hospitals that it names.
    """

    kind: str
    site: str | None
    noised: bool
    study: Study

    @property
    def key(self) -> str:
        """The training's own name: no other of one study has it."""
        return key_of(self.kind, self.site, noised=self.noised)

    @property
    def is_random(self) -> bool:
        """Whether it draws noise, who is in a batch, or how a record is varied."""
        rates = (self.study.privacy_of(site).sampling_rate for site in self.study.site_names)
        return self.noised or min(rates) < 1 or self.study.task.augmentation is not None

    @property
    def text(self) -> str:
        """The training's name, for people."""
        return f"{text_of(self.kind, self.site)}, {noise_text(noised=self.noised)}"


def baselines_of(study: Study) -> tuple[Baseline, ...]:
    """Returns every training of a study: without noise, and with its privacy where it has any.

    Raises:
        StudyRefused: the study trains nothing.
    """
    if not study.trains:
        raise StudyRefused(
            f"{study.name} trains nothing, and baselines compare models: collegium simulate runs it"
        )
    if isinstance(study.privacy, NoPrivacy):
        return tuple(_at(study, noised=False))
    return (*_at(study.without_noise(), noised=False), *_at(study, noised=True))


def _at(study: Study, *, noised: bool) -> Sequence[Baseline]:
    def baseline(kind: str, trained: Study, site: str | None = None) -> Baseline:
        return Baseline(kind=kind, site=site, noised=noised, study=trained)

    return [
        baseline(FEDERATED, study),
        baseline(POOLED, together(study)),
        *(baseline(ALL_BUT, all_but(study, site), site) for site in study.site_names),
        *(baseline(LOCAL, alone(study, site), site) for site in study.site_names),
    ]


def together(study: Study) -> Study:
    """Returns the study in which each site declares the patients of all of them.

    No hospital promises more than the study does, and nothing crosses that could be shortened.
    """
    common = without_choices(study)
    patients = sum(site.patients for site in common.sites)
    sites = tuple(site.model_copy(update={"patients": patients}) for site in common.sites)
    return common.model_copy(update={"sites": sites, "communication": None})


def alone(study: Study, site: str) -> Study:
    """Returns the study in which each site is as one of them: its patients, and what it promises.

    Its first site then trains as that hospital would, if there were no other: nothing crosses.
    """
    own = study.site(site)
    sites = tuple(own.model_copy(update={"name": name}) for name in study.site_names)
    return study.model_copy(update={"sites": sites, "communication": None})


def all_but(study: Study, site: str) -> Study:
    """Returns the study of the other hospitals; nothing of it depends on that one.

    A threshold is lowered to the number that is left. It may be a study that no consortium could
    declare, for two hospitals would show each other their updates.
    """
    sites = tuple(one for one in study.sites if one.name != site)
    aggregation = study.aggregation
    if aggregation.threshold is not None:
        most = min(aggregation.threshold, len(sites))
        aggregation = aggregation.model_copy(update={"threshold": most})
    without = {"sites": sites, "aggregation": aggregation}
    for section, parts in (("robust", "groups"), ("participation", "batches")):
        named = getattr(study, section)
        if named is not None:
            left = tuple(
                tuple(other for other in part if other != site) for part in getattr(named, parts)
            )
            without[section] = named.model_copy(update={parts: left})
    return study.model_copy(update=without)
