"""Tests of ``collegium.models.publication``."""
