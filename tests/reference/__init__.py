"""Tests of ``reference``."""
