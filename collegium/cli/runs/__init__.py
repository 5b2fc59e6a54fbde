"""Commands about what was run: lists and pages, the dashboard, reports that people sign."""
