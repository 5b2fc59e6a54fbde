"""The cohort contract: what a study expects of every hospital's records.

Rules:

1. Everything here is public and fixed before any record is read: column names, types,
   ranges, vocabularies, centre and scale. Encoding a record never depends on another
   record, so nothing about one hospital's patients leaks through the way data are prepared.
2. One form of label for each kind of task (``labels``); a task names the form it needs.
"""
