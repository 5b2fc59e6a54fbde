"""Every fault there is."""

from tests.long.chaos.faults.fault import Fault
from tests.long.chaos.faults.kills import COORDINATOR, HOSPITAL
from tests.long.chaos.faults.lines import LINES
from tests.long.chaos.faults.steering import STEERING
from tests.long.chaos.faults.troubles import TROUBLES

FAULTS: tuple[Fault, ...] = (*HOSPITAL, *COORDINATOR, *LINES, *TROUBLES, *STEERING)
