"""A consortium in memory, its studies and its facts."""
