"""Serving: which model a hospital loaded to score and when, in its own signed log.

Rules:

1. A model that is loaded for a hospital has its line before the first score leaves; its end has
   another one.
2. Each line holds the SHA-256 of the one before it and is signed with the hospital's identity key.
3. What serves holds a lock. A period without an end whose lock nobody holds was cut off, with its
   process or machine: what is known of its end is the model's last answer in the log of queries,
   and it is said that no more is known.
4. Times never go back, whatever the clock does.
5. A statement begins where the one before it ended: the hospital states each time once. Each is a
   line of the log.
"""

from silos.results.serving.hospital_log import serving_log_of, snapshot_of_run
from silos.results.serving.periods import LoggedPeriod
from silos.results.serving.serving_log import LoadedModel, ServingLog
from silos.results.serving.statement import made_statement

#: What commands, the scoring service and the check of a folder use.
__all__ = ["LoadedModel", "LoggedPeriod", "ServingLog", "made_statement", "serving_log_of",
           "snapshot_of_run"]  # fmt: skip
