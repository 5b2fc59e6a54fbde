"""The package as it is installed: its commands, extras, recipes and examples."""
