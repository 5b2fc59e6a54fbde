"""Everything that crosses a hospital's border, in one folder an auditor can read in an afternoon.

``protocol`` admits only what both institutions must produce or check
identically. It does no I/O, keeps no log, reads no configuration and knows no
torch. See ``docs/architecture.md``.
"""
