"""Tests of ``protocol.study.rounds``."""
