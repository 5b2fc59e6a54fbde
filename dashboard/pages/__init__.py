"""The ten pages: each shows one thing that somebody opens the dashboard for."""
