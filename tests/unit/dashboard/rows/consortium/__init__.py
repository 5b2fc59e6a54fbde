"""Rows of the dashboard, without Streamlit."""
