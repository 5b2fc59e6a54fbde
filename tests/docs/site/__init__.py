"""The documentation site: pages of the repository, and a reference from its docstrings."""
