"""What the consortium remembers: its store, folder and archived rounds."""
