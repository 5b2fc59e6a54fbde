"""Tests of ``protocol.identity``."""
