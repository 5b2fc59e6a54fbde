"""``collegium silo``: the commands of a hospital's own people."""
