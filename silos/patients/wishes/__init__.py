"""Wishes of patients: statements of consent as they are read, and who is left out of a study.

They are read anew whenever they are asked for, so that a wish counts from the next step on.
"""

from silos.patients.wishes.patient_wishes import LeftOut, PatientWishes, require_known

__all__ = ["LeftOut", "PatientWishes", "require_known"]
