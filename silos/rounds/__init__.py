"""The hospital's part in runs and rounds: what it agrees to, checks, sends and refuses."""
