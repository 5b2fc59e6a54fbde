"""What tells a hospital's folder from any other; nothing heavy is imported for that."""

from pathlib import Path

SITE_FILE = "site.yaml"


def is_hospital(folder: Path) -> bool:
    """Whether a hospital lives in a folder."""
    return (folder / SITE_FILE).is_file()
