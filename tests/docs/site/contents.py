"""The order of the site's pages."""

from collections.abc import Collection

#: Pages by the part of the site in which they stand; decisions and reference follow.
PARTS: dict[str, tuple[str, ...]] = {
    "Start": (
        "Overview <overview>",
        "tutorials/data-scientist",
        "tutorials/lead",
        "tutorials/officer",
        "tutorials/study-to-paper",
        "architecture",
        "glossary",
    ),
    "Studies": (
        "study",
        "strategies",
        "correlated-noise",
        "communication",
        "python",
        "planning",
        "tuning",
        "evaluation",
        "fairness",
        "monitoring",
        "baselines",
        "results",
        "robustness",
        "redteam",
        "examples/heart-disease/index",
        "collegium/studies/heart_disease/license",
        "examples/pneumonia-modes/index",
        "examples/pneumonia/index",
        "examples/diabetes130/index",
        "examples/breast-cancer-survival/index",
        "examples/segmentation-3d/index",
        "examples/late-fusion/index",
        "examples/digits/index",
        "examples/robust-groups/index",
        "examples/recipe/index",
        "examples/diabetes-progression/index",
        "examples/readmission/index",
    ),
    "Hospitals and consortia": (
        "dashboard",
        "hospital",
        "tables",
        "images",
        "patients",
        "clinical-data",
        "data-faults",
        "examples/consortium/index",
        "operations",
        "governance",
        "models",
        "weights",
        "inference",
        "login",
        "alerts",
        "observability",
        "identity",
        "attestation",
        "databases",
    ),
    "Evidence": (
        "reports",
        "audit",
        "reproducibility",
        "preregistration",
        "crate",
        "witnesses",
        "threat-model",
        "security-review",
        "chaos",
        "performance",
    ),
    "Protocol": (
        "protocol",
        "network",
        "why-not-encryption",
        "tests/vectors/index",
        "tests/vectors/attestation/index",
    ),
    "Working on Collegium": (
        "contributing",
        "house-style",
        "extending",
        "security",
        "code_of_conduct",
        "changelog",
        "adr/index",
    ),
    "Reference": ("reference/index",),
}


def contents(places: Collection[str]) -> str:
    """Returns the site's table of contents, for the end of its first page.

    Raises:
        ValueError: a page stands in no part, or one that stands in a part is gone.
    """
    named = {place.split("<")[-1].rstrip(">") for part in PARTS.values() for place in part}
    pages = {place.rsplit(".", 1)[0] for place in places} - {"index"} | {"reference/index"}
    pages = {place for place in pages if not place.startswith("adr/0")}
    if named != pages:
        raise ValueError(f"contents.py and the pages differ: {sorted(named ^ pages)}")
    return "".join(toctree(part, PARTS[part]) for part in PARTS)


def toctree(caption: str, places: Collection[str]) -> str:
    """Returns the list of pages below a page, which the site shows at its side only."""
    named = f":caption: {caption}\n" if caption else ""
    return "\n```{toctree}\n:hidden:\n" + named + "\n" + "\n".join(places) + "\n```\n"
