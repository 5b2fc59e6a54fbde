"""The part of ``silo check`` about recipes: wheel, installed files, and where they lie."""

from collections.abc import Iterator
from pathlib import Path

from pipelines.recipes.installed import install_folder
from protocol.counted import counted
from protocol.errors import PolicyRefused
from protocol.study.study import Study
from silos.config.site_file import SiteFile
from silos.config.study_authorization import admit_recipes
from silos.preflight.findings import Finding, bad, ok

_INSTALL_AGAIN = (
    "compare the wheel's sha256 with the consortium, and install it: pip install --no-deps "
    "--force-reinstall"
)


def recipe_findings(home: Path, site: SiteFile, study: Study) -> Iterator[Finding]:
    """Yields what is found of every recipe that a study names; nothing of one is imported."""
    if site.policy.missing(study.recipes):
        return  # the policy has said what it does not allow
    try:
        admit_recipes(site, home, study)
    except PolicyRefused as error:
        yield bad("recipe", str(error), _INSTALL_AGAIN)
        return
    for package in study.recipes:
        folder, files = install_folder(package), len(package.required.files)
        yield ok("recipe", f"{package}: {counted(files, 'file')} as in the wheel, in {folder}")
