"""Requests and answers of the server: facts, limits, headers, and what counts as activity."""
