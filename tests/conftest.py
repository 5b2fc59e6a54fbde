"""Settings that every test shares."""

from hypothesis import settings

# A test says what must hold, never how fast: speed is `make bench`'s matter.
settings.register_profile("collegium", deadline=None)
settings.load_profile("collegium")
