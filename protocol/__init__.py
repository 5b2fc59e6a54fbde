"""Everything that crosses a hospital's border: what an auditor reads to know what can leave.

``protocol`` admits only what both institutions must produce or check
identically. It reads a study's file and does no other I/O, keeps no log, reads
no configuration and knows no torch. See ``docs/architecture.md``.
"""
