"""Tests of ``pipelines.cohort.image_folders``."""
