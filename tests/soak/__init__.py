"""``python -m tests.soak``: long runs, in which memory must stay flat."""
