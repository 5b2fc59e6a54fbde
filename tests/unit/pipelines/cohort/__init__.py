"""Tests of ``pipelines.cohort``."""
