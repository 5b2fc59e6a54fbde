"""``python -m collegium`` is the ``collegium`` command."""

from collegium.cli import main

main()
