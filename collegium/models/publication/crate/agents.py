"""People, hospitals, the consortium and the software of a run, as the log names them."""

from collections.abc import Iterator, Mapping
from importlib.metadata import version
from urllib.parse import quote

from collegium.models.publication.crate.entity import Entity, entity, refer
from collegium.models.publication.crate.evidence import CrateEvidence

CONSORTIUM = "#consortium"
#: The names under which an address is given, beside those of hospitals.
NAMED = ("consortium", "collegium")
_NO_PACKAGE = {"python", "collegium"}


def hospital_name(site: str) -> str:
    """Returns the name of a hospital's entity."""
    return f"#hospital-{quote(site, safe='')}"


def software_name(urls: Mapping[str, str]) -> str:
    """Returns the name of Collegium's entity: its address, where one is given."""
    return urls.get("collegium", "#collegium")


def agents(found: CrateEvidence, urls: Mapping[str, str]) -> Iterator[Entity]:
    """Yields the consortium, its hospitals and the people whose acts about the run are logged.

    Args:
        found: the evidence.
        urls: the web addresses of hospitals, and of the consortium and the software by ``NAMED``.
    """
    yield entity(
        CONSORTIUM, "Organization",
        name="The consortium of this run",
        description="Its coordinator keeps the log, and signs its heads with the key of "
        "coordinator.pub.",
        identifier=f"ed25519:{found.public.hex()}",
        url=urls.get("consortium"),
    )  # fmt: skip
    keys = {member.site: member.public_key for member in found.roster.members}
    for site in found.dossier.sites:
        yield entity(
            hospital_name(site.site), "Organization",
            name=site.site,
            identifier=f"ed25519:{keys[site.site]}" if site.site in keys else None,
            url=urls.get(site.site),
        )  # fmt: skip
    yield from _people(found)


def _people(found: CrateEvidence) -> Iterator[Entity]:
    roles: dict[str, set[str]] = {}
    for act in found.facts.acts:
        if act.run == found.dossier.run_id and act.outcome == "done":
            roles.setdefault(act.person, set()).update([act.role] if act.role else [])
    for person, held in sorted(roles.items()):
        yield entity(
            f"#person-{quote(person, safe='')}", "Person",
            name=person,
            jobTitle=", ".join(sorted(held)),
            affiliation=refer(CONSORTIUM),
        )  # fmt: skip


def software(found: CrateEvidence, urls: Mapping[str, str]) -> list[Entity]:
    """Returns Collegium and the libraries that compute, each with its version, Collegium first."""
    manifest = found.manifest
    libraries = [
        entity(
            _page_of(name, number), "SoftwareApplication",
            name=name,
            version=number,
            url=_page_of(name, number),
        )
        for name, number in sorted(found.dossier.environment.items())
        if name not in _NO_PACKAGE and " " not in name
    ]  # fmt: skip
    code = "" if manifest is None else f" Digest of its source files: {manifest.software.code}."
    own = entity(
        software_name(urls), "SoftwareApplication",
        name="Collegium",
        description=f"Federated training with patient-level differential privacy.{code}",
        version=found.dossier.environment.get("collegium") or version("collegium"),
        url=urls.get("collegium"),
        softwareRequirements=refer(*(str(one["@id"]) for one in libraries)),
    )  # fmt: skip
    return [own, *libraries]


def _page_of(name: str, number: str) -> str:
    """Returns the page of a release, which a local build of it shares.

    >>> _page_of("torch", "2.13.0+cpu")
    'https://pypi.org/project/torch/2.13.0/'
    """
    return f"https://pypi.org/project/{name}/{number.partition('+')[0]}/"
