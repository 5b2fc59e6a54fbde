"""Tests of ``pipelines.transforms``."""
