"""Runs in rows and words: all of them as a table, some beside each other, one while it runs."""

from dashboard.rows.runs.comparison import (
    asks_the_same,
    compared_figures,
    compared_table,
    differing_settings,
)
from dashboard.rows.runs.labels import counted_figure, ordered, remedy_of, run_label
from dashboard.rows.runs.progress import elapsed_seconds, hospital_rows, remaining, share_done
from dashboard.rows.runs.table import RunFilter, found_runs, run_rows

#: What pages and elements use.
__all__ = [
    "RunFilter",
    "asks_the_same",
    "compared_figures",
    "compared_table",
    "counted_figure",
    "differing_settings",
    "elapsed_seconds",
    "found_runs",
    "hospital_rows",
    "ordered",
    "remaining",
    "remedy_of",
    "run_label",
    "run_rows",
    "share_done",
]
