"""Stores of many runs, made fast: a few runs are real, the others are signed copies of them.

Every copy has a name, a study, contexts, signatures and log entries of its own, all of which
``collegium audit verify`` accepts; its sums are those of the run it is copied from.
"""
