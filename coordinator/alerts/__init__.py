"""Alerts: rules in a file, their causes, who acknowledged them, and signed webhooks."""
