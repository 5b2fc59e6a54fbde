"""Tests of ``silos.isolation``."""
