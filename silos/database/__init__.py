"""The hospital's own database: its tables, keys, decisions, runs and trusted rosters."""
