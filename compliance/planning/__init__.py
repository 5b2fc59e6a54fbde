"""Advice before anybody trains or counts: settings, and what can be seen at that price."""
