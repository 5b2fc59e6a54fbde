"""Tests of ``protocol.secagg``."""
