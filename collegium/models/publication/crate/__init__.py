"""RO-Crates of runs: one folder of a run's documents, described for other software.

Rules:

1. A crate is written of a folder whose log, records and signatures were verified, or not at all.
2. It holds what was released, signed or logged; exact figures of a simulation stay out.
3. It adds no time and no random number: of equal folders the same bytes are written.
4. The description is JSON-LD by hand. What profiles demand of it is in ``docs/crate.md``.
"""

from collegium.models.publication.crate.metadata import CrateTerms
from collegium.models.publication.crate.verifying import verify_crate
from collegium.models.publication.crate.writing import CrateRequest, Recording, write_crate

#: What commands and kits use.
__all__ = ["CrateRequest", "CrateTerms", "Recording", "verify_crate", "write_crate"]
