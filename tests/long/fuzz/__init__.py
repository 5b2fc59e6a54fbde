"""Fuzzing of every decoder of outside bytes: mutated honest inputs, signed again by their senders.

``python -m tests.long.fuzz --inputs N --seed S [--only NAME] [--number K]``
"""
