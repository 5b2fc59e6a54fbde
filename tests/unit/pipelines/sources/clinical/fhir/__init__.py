"""Tests of ``pipelines.sources.clinical.fhir``."""
