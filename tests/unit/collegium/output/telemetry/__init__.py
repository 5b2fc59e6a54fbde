"""Tests of ``collegium.output.telemetry``."""
