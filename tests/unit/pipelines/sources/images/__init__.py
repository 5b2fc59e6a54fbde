"""Tests of ``pipelines.sources.images``."""
