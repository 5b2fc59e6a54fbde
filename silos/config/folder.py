"""Recognises a hospital's folder; imports nothing heavy."""

from pathlib import Path

SITE_FILE = "site.yaml"


def is_hospital(folder: Path) -> bool:
    """Whether a folder is a hospital's."""
    return (folder / SITE_FILE).is_file()
