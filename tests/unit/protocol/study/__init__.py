"""Tests of ``protocol.study``."""
