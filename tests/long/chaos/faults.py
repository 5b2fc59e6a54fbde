"""Every fault there is."""

from tests.long.chaos.fault import Fault
from tests.long.chaos.kills import COORDINATOR, HOSPITAL
from tests.long.chaos.lines import LINES
from tests.long.chaos.steering import STEERING
from tests.long.chaos.troubles import TROUBLES

FAULTS: tuple[Fault, ...] = (*HOSPITAL, *COORDINATOR, *LINES, *TROUBLES, *STEERING)
