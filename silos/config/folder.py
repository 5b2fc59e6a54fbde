"""Recognises a hospital's folder; imports nothing heavy."""

from pathlib import Path

from protocol.errors import SiteFileRefused

SITE_FILE = "site.yaml"


def is_hospital(folder: Path) -> bool:
    """Whether a folder is a hospital's."""
    return (folder / SITE_FILE).is_file()


def require_hospital(folder: Path) -> None:
    """Refuses a folder that is no hospital's.

    Raises:
        SiteFileRefused: it has no site file.
    """
    if not is_hospital(folder):
        raise SiteFileRefused(
            f"{folder} is no hospital's folder: it has no {SITE_FILE}: collegium silo init"
        )
