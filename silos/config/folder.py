"""Recognises a hospital's folder; imports nothing heavy."""

from pathlib import Path

SITE_FILE = "site.yaml"


def is_hospital(folder: Path) -> bool:
    """Whether a hospital lives in a folder."""
    return (folder / SITE_FILE).is_file()
