"""Pages with measured tables: what they claim follows from these, and a line is measured again."""
