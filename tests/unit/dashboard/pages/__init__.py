"""Pages of the dashboard, each through Streamlit's own test driver."""
