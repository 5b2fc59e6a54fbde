"""Tests of ``silos.results``."""
