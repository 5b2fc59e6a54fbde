"""Tests of ``pipelines.networks``."""
