"""What a hospital's people do at their machine: keys, roster, budget, backups, runs."""
