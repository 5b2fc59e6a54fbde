"""Strategies of training: the record that declares one, and those that a study may name."""
