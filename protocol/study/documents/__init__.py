"""YAML 1.2 documents that people write, and the line where one is wrong."""
