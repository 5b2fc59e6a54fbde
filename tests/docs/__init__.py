"""Tests that documents, examples and their site are true."""
