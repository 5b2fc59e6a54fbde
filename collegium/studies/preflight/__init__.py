"""Checks before anything starts: the study's promise, and whether the records fit.

They run where the records are, in seconds, without Ray, and without torch where no network is to be
built; they print counts only.
"""

from collegium.studies.preflight.description import describe_study
from collegium.studies.preflight.records_check import check_records, finds_records

#: What the commands and the Python interface use.
__all__ = ["check_records", "describe_study", "finds_records"]
