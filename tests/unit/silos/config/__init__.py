"""Tests of ``silos.config``."""
