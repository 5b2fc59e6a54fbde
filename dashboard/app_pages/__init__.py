"""The ten pages: each shows one thing that somebody opens the dashboard for.

The folder is not called ``pages``: one of that name beside ``app.py`` Streamlit takes for its own.
"""
