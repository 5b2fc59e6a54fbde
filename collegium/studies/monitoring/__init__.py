"""Monitoring of a model in use: its plan with price and forecast, and its series of releases."""
