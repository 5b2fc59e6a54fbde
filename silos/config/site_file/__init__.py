"""The site file: what a hospital's officers allow, where its records lie, what it may use.

Rules:

1. It belongs to the hospital; nobody else reads or writes it.
2. Safe by default: an empty list allows nothing. Whatever is not written down
   is not allowed.
3. It is read afresh whenever a study asks to join, so that a change counts at once.

One file for each section: ``data`` (of clinical records ``clinical_data``), ``policy_section``,
``resources``, and the ``document``.
"""

from silos.config.site_file.document import (
    PatientRules,
    SiteFile,
    read_site_file,
    site_file_of,
    site_schema,
    source_of,
)
from silos.config.site_file.policy_section import (
    NETWORKS,
    SPLITS,
    TASKS,
    AllowedRecipe,
    Policy,
    words_of,
)
from silos.config.site_file.resources import Resources

__all__ = [
    "NETWORKS",
    "SPLITS",
    "TASKS",
    "AllowedRecipe",
    "PatientRules",
    "Policy",
    "Resources",
    "SiteFile",
    "read_site_file",
    "site_file_of",
    "site_schema",
    "source_of",
    "words_of",
]
