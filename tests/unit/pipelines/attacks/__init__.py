"""Tests of ``pipelines.attacks``."""
