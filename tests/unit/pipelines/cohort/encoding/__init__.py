"""Tests of what columns mean beyond a single cell."""
