"""Choices of what a page is about: a run, or a study."""
