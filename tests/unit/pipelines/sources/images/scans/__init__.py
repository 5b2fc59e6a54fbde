"""Tests of ``pipelines.sources.images.scans``."""
