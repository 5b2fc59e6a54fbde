"""Tests of ``silos.results.inference``."""
