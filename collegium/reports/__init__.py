"""Reports of a folder of runs: made from its records, signed by people, verified by others."""
