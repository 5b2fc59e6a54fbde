"""The output of the commands: consoles, tables, pages, progress, verdicts."""
