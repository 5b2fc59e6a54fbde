"""Tests of ``protocol.study.study``."""
