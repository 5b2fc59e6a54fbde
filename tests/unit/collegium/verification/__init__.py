"""Tests of ``collegium.verification``."""
