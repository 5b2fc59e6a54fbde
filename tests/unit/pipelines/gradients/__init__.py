"""Tests of ``pipelines.gradients``."""
