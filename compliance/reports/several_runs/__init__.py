"""Pages about more than one run: a calendar of releases, a federation beside its baselines."""
