"""Views over an open database, by what they are about: runs, the log, the consortium.

Rules:

1. Views write nothing.
2. What cannot be read is ``StoreBroken``; what is not there, ``WorkspaceRefused``.
"""
