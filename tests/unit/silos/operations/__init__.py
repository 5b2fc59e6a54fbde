"""Tests of ``silos.operations``."""
