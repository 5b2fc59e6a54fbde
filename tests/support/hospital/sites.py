"""Site files for tests: one that allows the small study at hospital east, and ways to change it."""

from silos.config.site_file import SiteFile, read_site_file

SITE = """\
collegium_site: 1
name: east
coordinator: https://localhost:8443
data: {kind: file, path: east.csv}
policy:
  purposes: [to be tested]
  tasks: [binary_classification]
  networks: [FullyConnectedNet]
  columns: [age, ward, patient, ill]
  splits: [keyed_hash]
  sites: 3
  patients: 20
  modes: [per_site]
  epsilon_at_most: 4
  delta_at_most: 1e-3
  approvers: [Dr. A. Officer, Prof. B. Medicine]
  approvals_needed: 1
resources: {workers: 1, threads: 1, memory_gib: 1}
"""


def changed_site(old: str, new: str) -> str:
    """Returns the site file's text with one passage replaced; it must be there."""
    if old not in SITE:
        raise ValueError(f"the site file has no {old!r}")
    return SITE.replace(old, new, 1)


def east() -> SiteFile:
    """Returns the site file."""
    return read_site_file(SITE)
