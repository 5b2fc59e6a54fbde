"""Hospitals as the coordinator knows them: their part in runs, and what they have signed."""
