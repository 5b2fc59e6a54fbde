"""Worked templates of ``study new``: studies on public records, each with a measured figure."""
