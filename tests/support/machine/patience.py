"""How long a test waits for what must happen.

It is long, because the machine may be busy with other things, and nothing is measured by
it: it only ends a test that would otherwise wait for ever.
"""

PATIENCE = 600.0
