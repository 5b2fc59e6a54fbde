"""Tests of ``silos.training``."""
