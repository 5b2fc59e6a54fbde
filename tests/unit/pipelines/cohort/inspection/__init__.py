"""Tests of ``pipelines.cohort.inspection``."""
