"""How far a run at work is, which hospitals can be asked, and for whom a step waits."""
