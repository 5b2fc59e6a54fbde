"""Hospitals as the views show them."""
