"""Released models: their snapshots, encrypted weights, exports, use and re-runs."""
