"""Tests of ``compliance.reports``."""
