"""The operator's metrics, in the form that Prometheus reads: counts, times and dates alone.

Rules:

1. Nothing is about a patient: no figure of a model, no count of patients, no name of a column.
2. Labels are bounded: members of the signed roster, endpoints, kinds of rounds and steps of the
   protocol, words of this room. No run, study, person, address or alert is a label.
3. A scrape reads what is cheap; what it has read is good for ``state_metrics.KEPT_SECONDS``.
"""
