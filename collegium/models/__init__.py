"""Released models: their snapshots, encrypted weights, exports, use, re-runs and publication."""
