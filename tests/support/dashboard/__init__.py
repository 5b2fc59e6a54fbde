"""The dashboard's server in a process of its own, and a browser's part of the conversation."""
