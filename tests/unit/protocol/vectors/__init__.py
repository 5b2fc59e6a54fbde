"""Tests of ``protocol.vectors``."""
