"""Each hospital's records, which are in no crate, and what was promised to its patients."""

from collections.abc import Iterator

from collegium.models.publication.crate.agents import hospital_name
from collegium.models.publication.crate.entity import Entity, entity, refer
from collegium.models.publication.crate.evidence import CrateEvidence
from collegium.models.publication.crate.files import COHORT, STATEMENT
from compliance.facts.dossier import SiteFacts

ACCESS, EPSILON, DELTA = "#conditions-of-access", "#epsilon", "#delta"


def records_of(found: CrateEvidence) -> list[Entity]:
    """Returns a data set for each hospital that joined; a frozen cohort by its public name.

    No digest of records leaves a hospital, and the number of patients is the round one that the
    study declares.
    """
    return [_records(site) for site in found.dossier.sites]


def _records(site: SiteFacts) -> Entity:
    frozen = site.privacy.cohort
    return entity(
        f"#records-of-{hospital_name(site.site)[1:]}", "Dataset",
        name=f"Records of {site.site}",
        description=f"At most {site.declared_patients} training patients, as the study declares. "
        "They stay in the hospital.",
        identifier=f"cohort:{frozen}" if frozen else None,
        creator=refer(hospital_name(site.site)),
        license=refer(ACCESS),
        conditionsOfAccess="Restricted: the hospital decides, study by study.",
        subjectOf=refer(COHORT),
    )  # fmt: skip


def promises_of(found: CrateEvidence) -> list[Entity]:
    """Returns what each hospital promised to its training patients, as property values."""
    return [one for site in found.dossier.sites for one in _promises(site)]


def _promises(site: SiteFacts) -> Iterator[Entity]:
    if site.privacy.epsilon is None:
        return
    for kind, value in ((EPSILON, site.privacy.epsilon), (DELTA, site.privacy.delta)):
        yield entity(
            f"{kind}-{hospital_name(site.site)[1:]}", "PropertyValue",
            name=f"{kind[1:]} of a training patient of {site.site}",
            propertyID=refer(kind),
            value=value,
            subjectOf=refer(STATEMENT),
        )  # fmt: skip


def access_terms() -> list[Entity]:
    """Returns the conditions of access, and the terms that promises are about."""
    return [
        entity(
            ACCESS, "CreativeWork",
            name="Conditions of access to records",
            description="No record of a patient leaves its hospital. A hospital decides by its own "
            "policy and people whether a study may use its records.",
        ),
        entity(
            EPSILON, "DefinedTerm",
            name="epsilon",
            description="Of (epsilon, delta)-differential privacy, for one patient with all "
            "records: any conclusion changes in probability by a factor of at most exp(epsilon).",
        ),
        entity(
            DELTA, "DefinedTerm",
            name="delta",
            description="Of (epsilon, delta)-differential privacy: the probability with which the "
            "factor may be larger.",
        ),
    ]  # fmt: skip
