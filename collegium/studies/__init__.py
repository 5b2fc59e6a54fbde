"""Studies before they run: template, checks, planning, registration."""
