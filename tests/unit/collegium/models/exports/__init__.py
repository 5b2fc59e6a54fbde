"""Tests of ``collegium.models.exports``."""
