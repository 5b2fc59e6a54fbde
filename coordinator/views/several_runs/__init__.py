"""Views over several runs: calendars of releases, comparisons, utility against privacy."""
