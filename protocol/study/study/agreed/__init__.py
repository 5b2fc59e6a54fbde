"""Sections that hospitals agree to and that compute nothing: terms of release, preregistration."""
