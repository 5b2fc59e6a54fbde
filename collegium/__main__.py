"""``python -m collegium`` is the ``collegium`` command."""

from collegium.cli.main import main

main()
