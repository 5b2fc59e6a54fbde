"""Tests of ``protocol.study.cohort``."""
