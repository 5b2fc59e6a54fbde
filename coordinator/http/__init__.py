"""The coordinator's endpoints, and what a stranger's connection may cost."""
