"""Pages that explain: what they say of keys, commands and files is so."""
