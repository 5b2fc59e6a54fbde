"""Sections about a model of two classes: its thresholds, and how right its risks are."""
