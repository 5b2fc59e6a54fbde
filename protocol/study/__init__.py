"""The study that hospitals agree to: its sections, its rules, and the documents it is read from."""
