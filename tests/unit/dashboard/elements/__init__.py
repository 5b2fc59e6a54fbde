"""Tests of dashboard.elements."""
