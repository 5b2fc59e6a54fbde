"""The progress of a run under way: its round, the hospitals it can ask, those it waits for."""
