"""The tutorials of docs/tutorials are run as they stand, command by command."""
