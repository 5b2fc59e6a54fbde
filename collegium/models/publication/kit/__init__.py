"""Kits: a recorded simulation with its public records, which a third party runs again.

``making`` writes a kit from a recorded run, ``checking`` runs its study again and compares.
``contents`` is the form of the folder.

Rules:

1. A kit holds a simulation whose draws follow from recorded seeds, so that it is compared bit by
   bit; no privacy is claimed of it.
2. Its records are public: whoever writes a kit hands them out. Only files that the run read go in.
3. What the study and the records now say is run; a change to them is named as the cause. What the
   run came to then is a crate with proofs, and a changed one is refused.
"""

from collegium.models.publication.kit.checking import KitCheck, check_kit
from collegium.models.publication.kit.making import KitRequest, make_kit

#: What commands use.
__all__ = ["KitCheck", "KitRequest", "check_kit", "make_kit"]
