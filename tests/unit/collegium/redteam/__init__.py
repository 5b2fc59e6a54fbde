"""Tests of ``collegium.redteam``."""
