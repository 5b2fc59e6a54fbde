"""Reading of a store for the pages."""
