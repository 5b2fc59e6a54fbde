"""Tests of the views of the log."""
