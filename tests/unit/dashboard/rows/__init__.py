"""Tests of dashboard.rows."""
