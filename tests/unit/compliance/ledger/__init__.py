"""Tests of ``compliance.ledger``."""
