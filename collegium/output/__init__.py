"""What commands show: consoles, tables, pages, progress, verdicts."""
