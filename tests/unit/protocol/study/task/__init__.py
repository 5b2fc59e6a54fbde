"""Tests of ``protocol.study.task``."""
