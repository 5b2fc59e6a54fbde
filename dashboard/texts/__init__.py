"""Texts of the dashboard: one file for each language, and the look-up."""

from dashboard.texts.lookup import LANGUAGES, in_this_language, language, say, speak

#: What pages use of it.
__all__ = ["LANGUAGES", "in_this_language", "language", "say", "speak"]
