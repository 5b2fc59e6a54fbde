"""Sections of reports and pages: each part is a function of one dossier.

Rules:

1. A figure computed from all hospitals' records in one place is called
   *simulation only* wherever it stands.
2. What is not known is a dash or a sentence, never a zero.
3. Nothing is claimed that the dossier does not claim.
"""
