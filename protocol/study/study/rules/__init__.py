"""Rules that span several sections of a study, by what they are about."""
