"""One run: its rows, the line about it, its dossier, and what only simulations have."""
