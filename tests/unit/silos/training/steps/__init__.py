"""Tests of ``silos.training.steps``."""
