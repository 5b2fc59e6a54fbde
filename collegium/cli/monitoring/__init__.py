"""Commands of monitoring: calendars of releases, and alerts on them."""
