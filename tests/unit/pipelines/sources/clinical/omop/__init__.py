"""Tests of ``pipelines.sources.clinical.omop``."""
