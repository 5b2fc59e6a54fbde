"""Algorithms: one file each, with its study keys, rules and server step; none imports another."""
