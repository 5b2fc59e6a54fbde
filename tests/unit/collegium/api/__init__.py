"""Tests of ``collegium.api``."""
