"""Tests of ``pipelines.sources.tables``."""
