"""Views of the log: search, and who has cosigned it."""
