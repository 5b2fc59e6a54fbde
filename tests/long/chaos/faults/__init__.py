"""Faults by what is hurt: processes, lines, machines, and what people do to a run."""
