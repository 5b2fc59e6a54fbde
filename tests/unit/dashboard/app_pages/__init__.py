"""Tests of dashboard.app_pages."""
