"""Pages and tables of one run: its public page, its performance, a hospital's own report."""
