"""``python -m tests.long.soak``: long runs, in which memory must stay flat."""
