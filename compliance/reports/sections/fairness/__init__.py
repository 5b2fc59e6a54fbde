"""Fairness in reports and pages: between hospitals, between groups of patients, and their gaps."""
