"""Differential privacy: events and their price, exact noise, the budget's filter."""
