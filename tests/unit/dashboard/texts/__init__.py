"""Tests of the dashboard's texts."""
