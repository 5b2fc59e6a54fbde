"""Foundations of tests: fakes, consortia, folders, servers, and plain reference computations."""
