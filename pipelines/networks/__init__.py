"""The networks that a study may name, and inputs that no patient gave."""
