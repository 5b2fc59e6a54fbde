"""Tests of ``pipelines.evaluation``."""
