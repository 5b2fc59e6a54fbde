"""Checks of the opening of a round: its context, the log, and what this hospital signed before.

Rules:

1. An opening is believed in nothing: the context is the one that the hospital computes itself, and
   the log extends the newest head that it keeps.
2. What is found wrong is kept as evidence, and the round is refused.
"""
