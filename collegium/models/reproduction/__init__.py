"""Reproduction of runs: what a run came to is compared with what doing it again gives.

Rules:

1. The comparison is pure: two sides in, one answer out (``comparison``). What reads folders and
   runs simulations stands beside it.
2. An answer names what was compared and what was not. Where nothing that is recorded differs, it
   says just that.
3. Secret noise is never drawn a second time. A simulation with it is compared up to the noise, and
   its released figures by their intervals.
"""

from collegium.models.reproduction.answer import (
    DIFFERENT,
    IDENTICAL,
    WITHIN,
    ReproductionAnswer,
)
from collegium.models.reproduction.comparison import (
    CourseStep,
    KeptSums,
    RunSide,
    compare_repeated,
)
from collegium.models.reproduction.differences import RunInputs
from collegium.models.reproduction.reading import distance_of, recorded_run
from collegium.models.reproduction.reproduce import ReproductionPlaces, reproduce
from collegium.models.reproduction.rerun import (
    RerunSettings,
    RerunSource,
    rerun_folder,
    simulate_again,
)

#: What commands, crates and kits use.
__all__ = [
    "DIFFERENT",
    "IDENTICAL",
    "WITHIN",
    "CourseStep",
    "KeptSums",
    "ReproductionAnswer",
    "ReproductionPlaces",
    "RerunSettings",
    "RerunSource",
    "RunInputs",
    "RunSide",
    "compare_repeated",
    "distance_of",
    "recorded_run",
    "reproduce",
    "rerun_folder",
    "simulate_again",
]
