"""Tests of ``silos.preflight``."""
