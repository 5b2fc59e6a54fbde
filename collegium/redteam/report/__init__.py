"""The page of a red team, and the lines that a person reads at the command."""
