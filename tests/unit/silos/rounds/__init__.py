"""Tests of ``silos.rounds``."""
