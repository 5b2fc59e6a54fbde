"""Tests of ``pipelines.sources``."""
