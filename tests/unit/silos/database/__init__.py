"""Tests of ``silos.database``."""
