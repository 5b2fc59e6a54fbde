"""Words and rows about figures: studies to choose from, budgets, what another epsilon would do."""
