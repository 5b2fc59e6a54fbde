"""Tests of dashboard.rows.figures."""
