"""Speed, as ratios: every row is measured beside its floor in the same run (``make bench``)."""
