"""Strategies of training: one file an algorithm, with its study keys, rules and server step."""
