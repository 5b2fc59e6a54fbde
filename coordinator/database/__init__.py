"""The consortium's stored state: its database, folder and archived rounds."""
