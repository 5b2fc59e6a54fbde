"""Operations by a hospital's people at their machine: keys, roster, budget, backups, runs."""
