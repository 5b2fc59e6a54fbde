"""Tests of ``silos.config.attestation``."""
