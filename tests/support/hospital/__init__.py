"""One hospital's home, site file, people and machine."""
