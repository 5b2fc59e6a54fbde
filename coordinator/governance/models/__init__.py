"""Released models: their signed snapshots, and the register of their stages."""
