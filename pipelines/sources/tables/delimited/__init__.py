"""CSV files: read in pieces, and tried where they do not fit."""
