"""Facts about runs, frozen: figures with intervals, warnings, comparisons, and how they read."""
