"""Tests of ``pipelines.sources.clinical``."""
