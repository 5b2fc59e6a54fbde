"""Tests of ``collegium.verification.bundle``."""
