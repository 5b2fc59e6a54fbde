"""Tests of ``protocol.log``."""
